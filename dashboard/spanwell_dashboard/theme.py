"""Colours and sizes of the pages, light and dark, as Streamlit options. Colours of data series: `colors`."""

from typing import Any, Final

LIGHT: Final = {
    "primaryColor": "#4f5bd5",
    "backgroundColor": "#ffffff",
    "secondaryBackgroundColor": "#f5f6f8",
    "textColor": "#1c2026",
    "borderColor": "#e4e7ec",
    "linkColor": "#4f5bd5",
    "codeTextColor": "#1c2026",
    "codeBackgroundColor": "#f5f6f8",
    "dataframeHeaderBackgroundColor": "#fafbfc",
    "grayColor": "#7a8291",
    "sidebar.backgroundColor": "#fafbfc",
    "sidebar.secondaryBackgroundColor": "#eef0f4",
}
DARK: Final = {
    "primaryColor": "#8a93f5",
    "backgroundColor": "#0f1115",
    "secondaryBackgroundColor": "#191c22",
    "textColor": "#e4e7ec",
    "borderColor": "#262a33",
    "linkColor": "#a3aaf8",
    "codeTextColor": "#e4e7ec",
    "codeBackgroundColor": "#161920",
    "dataframeHeaderBackgroundColor": "#14171c",
    "grayColor": "#8b93a3",
    "sidebar.backgroundColor": "#0b0d10",
    "sidebar.secondaryBackgroundColor": "#1a1d24",
}
SHAPE: Final = {
    "baseFontSize": 14,
    "baseRadius": "0.4rem",
    "metricValueFontSize": "1.45rem",
    "metricValueFontWeight": 600,
    "headingFontSizes": ["1.5rem", "1.3rem", "1.1rem", "1rem", "0.95rem", "0.9rem"],
    "headingFontWeights": [600, 600, 600, 600, 600, 600],
    "paddingTop": "1.6rem",
    "paddingBottom": "2rem",
    "showWidgetBorder": True,
    "showSidebarBorder": True,
}


def streamlit_options() -> dict[str, Any]:
    """Both themes under the names Streamlit's configuration knows; the viewer's system picks one."""
    return {
        **{f"theme.{name}": value for name, value in SHAPE.items()},
        **{f"theme.light.{name}": value for name, value in LIGHT.items()},
        **{f"theme.dark.{name}": value for name, value in DARK.items()},
    }
