"""One script a page; `app.py` lists them. What can be decided without Streamlit lives in the modules above."""
