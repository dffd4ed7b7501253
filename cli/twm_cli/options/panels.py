"""Help in panels, in plain text: one headed list of options for the command and one for each chosen component.

Typer draws panels with rich, which cuts off option names where a line is short; a name such as
`--dataset.evaluation_stride_seconds` is worth nothing without its end. Here a long name has a line of its own.
"""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

HELP_SETTINGS = {"max_content_width": 110}
"""Context settings of every command: help may use wide terminals."""


class PanelCommand(TyperCommand):
    """A command whose help groups options by their `rich_help_panel`."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write one section for each panel, in the order of the first option of each."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                usual = "Arguments" if parameter.param_type_name == "argument" else "Options"
                panels.setdefault(getattr(parameter, "rich_help_panel", None) or usual, []).append(record)
        for panel, records in panels.items():
            with formatter.section(panel):
                formatter.write_dl(records)
