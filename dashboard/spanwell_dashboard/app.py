"""The Streamlit script: what every page shares, and the list of pages."""

from pathlib import Path

import streamlit as st

ASSETS = Path(__file__).with_name("assets")

st.set_page_config(page_title="Spanwell", page_icon=str(ASSETS / "icon.png"), layout="wide")
st.logo(str(ASSETS / "logo.svg"), icon_image=str(ASSETS / "icon.png"), size="large")
st.html(ASSETS / "style.css")

chosen = st.navigation(
    {
        "Monitor": [
            st.Page("views/overview.py", title="Overview", icon=":material/monitoring:", default=True),
            st.Page("views/traces.py", title="Traces", icon=":material/account_tree:"),
            st.Page("views/trace.py", title="Trace", visibility="hidden"),
            st.Page("views/cost.py", title="Cost", icon=":material/payments:"),
            st.Page("views/cache.py", title="Cache", icon=":material/bolt:"),
        ],
        "Quality": [
            st.Page("views/quality.py", title="Quality", icon=":material/verified:"),
            st.Page("views/drift.py", title="Drift", icon=":material/shuffle:"),
        ],
        "Operate": [
            st.Page("views/alerts.py", title="Alerts", icon=":material/notifications:"),
            st.Page("views/system.py", title="System", icon=":material/dns:"),
        ],
    }
)
chosen.run()
