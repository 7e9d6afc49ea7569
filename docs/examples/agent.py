"""A small agent, traced: retrieval, a tool, and a model call that joins the same trace through the gateway."""

from openai import OpenAI

import spanwell

spanwell.configure(service_name="bookshop")
client = OpenAI()

SHELVES = {"lighthouses": ["Keepers of the light", "A history of Fresnel's lens"], "tea": ["Leaf and water"]}


@spanwell.trace(operation="retrieval")
def find_books(topic: str) -> list[str]:
    return SHELVES.get(topic, [])


@spanwell.trace(operation="execute_tool")
def check_stock(title: str) -> int:
    return len(title) % 5


@spanwell.trace(operation="invoke_agent")
def recommend(topic: str) -> str:
    books = [f"{title} ({check_stock(title)} in stock)" for title in find_books(topic)]
    reply = client.chat.completions.create(
        model="support-chat",
        messages=[{"role": "user", "content": f"Recommend one of these: {', '.join(books)}"}],
        extra_headers=spanwell.headers(),  # makes the gateway's span a child of this one
    )
    return reply.choices[0].message.content or ""


with spanwell.session(user_id="user-7", session_id="visit-3"):
    print(recommend("lighthouses"))
print(spanwell.flush())
