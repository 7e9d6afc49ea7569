"""The stock OpenAI client through the gateway: only the address and the key are Spanwell's.

Run it in a shell with the variables that `spanwell up` prints.
"""

from openai import OpenAI

client = OpenAI()  # reads OPENAI_BASE_URL and OPENAI_API_KEY
stream = client.chat.completions.create(
    model="support-chat",
    messages=[{"role": "user", "content": "How do I change the address of my order?"}],
    stream=True,
    user="user-7",
    extra_headers={"x-spanwell-app": "shop", "x-spanwell-session": "basket-19"},
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
print()
