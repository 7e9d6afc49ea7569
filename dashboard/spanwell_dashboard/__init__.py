"""The dashboard: Streamlit pages over the collector's query API. It stores nothing and asks nobody else."""
