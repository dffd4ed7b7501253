"""The manifest of a scenario store, and which tensors its files hold. Torch-free.

    X.twm/manifest.json                what this file describes; small, however many scenarios there are
    X.twm/index-G.safetensors          the table of scenarios and road maps (`INDEX`)
    X.twm/sources-G.jsonl              one line for each source: name, files with sha256 and bytes, reader, what was skipped
    X.twm/shards/NNNNNN.safetensors    the rows and tracks of scenarios, one scenario after another (`shard_columns`)
    X.twm/maps/NNNNNN.safetensors      road maps, one after another, each once (`MAP_COLUMNS`)

`G` counts the appends, so that one replacement of the manifest is all that an append changes at once. There are no times and no paths in
a store: the same files give the same bytes. The documentation page "The scenario store" explains every field and tensor.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from twm_core.data.schema import EXISTENCE_CODES, TRAFFIC_FEATURES
from twm_core.data.store.tensors import REMEDY, Column
from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES

SCHEMA_NAME, SCHEMA_VERSION = "twm-store", 2
"""The schema that is written. Version 1, without hashes of blocks and without a generation, is read as well."""

MANIFEST, SHARDS, MAPS = "manifest.json", "shards", "maps"
AGAIN = "open it again: give the same command again"
"""What helps when a store was changed while it was open."""

UNITS = {"length": "m", "time": "s", "angle": "rad"}
FRAME = "world axes, right-handed, minus the origin of each scenario; positions are centres of bounding boxes"


def shard_columns(features: int, actions: int) -> tuple[Column, ...]:
    """The tensors of a shard of a store with so many features, in the order of their data."""
    found = [
        Column("first", "I64", "tracks", meaning="first step of each track"),
        Column("length", "I64", "tracks", meaning="number of steps of each track"),
        Column("offset", "I64", "tracks", meaning="first row of each track, counted from the first row of its scenario"),
        Column("type", "I64", "tracks", meaning="index into the agent types"),
        Column("lane", "I64", "lane_rows", meaning="1 + index into the lane names (or a token, where there are none), 0 unknown"),
        Column("light_stop", "F64", "lights", 2, "where one stops at each light, local frame; NaN unknown"),
        Column("state", "F32", "rows", features, "the features of the manifest, in that order"),
        Column("action", "F32", "action_rows", actions, "what each agent did from this step to the next"),
        Column("code", "U8", "rows", meaning="existence code: observed, interpolated or occluded"),
        Column("eligible", "BOOL", "eligible_tracks", meaning="tracks that the dataset's own protocol scores"),
        Column("anchors", "BOOL", "anchor_steps", meaning="steps after which a prediction may start"),
        Column("light_state", "U8", "light_steps", meaning="states of the lights, light by light, step by step"),
        Column("text", "U8", "text", meaning='JSON: {"lights": lane of each light, "tracks": name of each track}'),
        Column("lane_names", "U8", "lane_text", meaning="JSON: names of lanes; scenarios of a shard share equal ones"),
    ]
    return tuple(c for c in found if actions or c.name != "action")


SHARD_AXES = (
    "rows", "tracks", "lane_rows", "action_rows", "eligible_tracks", "anchor_steps", "lights", "light_steps", "text", "lane_text",
)  # fmt: skip
"""What the columns of `begin` and `count` in the index refer to, in order."""

MAP_COLUMNS = (
    Column("points", "F64", "points", 2, "points of all lines of the map: of each lane centre, left, right; then of the other lines"),
    Column("lane_width", "F64", "lanes", meaning="width of each lane"),
    Column("lane_speed_limit", "F64", "lanes", meaning="m/s, NaN unknown"),
    Column("lane_points", "I64", "lanes", 3, "points of centre, left and right boundary of each lane; -1 where there is no boundary"),
    Column("line_points", "I64", "lines", meaning="points of each other line"),
    Column("line_kind", "U8", "lines", meaning="index into `LINE_KINDS`"),
    Column("text", "U8", "text", meaning='JSON: {"ids", "left", "right", "successors"} of the lanes'),
)
MAP_AXES = ("points", "lanes", "lines", "text")

INDEX = (
    Column("shard", "I64", "scenarios", meaning="number of the shard"),
    Column("begin", "I64", "scenarios", len(SHARD_AXES), "where the scenario begins on each axis of its shard"),
    Column("count", "I64", "scenarios", len(SHARD_AXES), "how much it has of each axis"),
    Column("steps", "I64", "scenarios", meaning="number of steps"),
    Column("site", "I64", "scenarios", meaning="index into the sites"),
    Column("group", "I64", "scenarios", meaning="index into the groups"),
    Column("source", "I64", "scenarios", meaning="line of the sources file, from 0"),
    Column("road", "I64", "scenarios", meaning="number of the road map, -1 none"),
    Column("provenance", "I64", "scenarios", meaning="index into the manifest's provenance"),
    Column("ego", "I64", "scenarios", meaning="number of the track of the recording vehicle, -1 none"),
    Column("codes", "I64", "scenarios", len(EXISTENCE_CODES), "rows by existence code"),
    Column("types", "I64", "scenarios", len(AGENT_TYPES), "tracks by agent type"),
    Column("start", "F64", "scenarios", meaning="seconds from the beginning of the group"),
    Column("dt", "F64", "scenarios", meaning="seconds between steps"),
    Column("origin", "F64", "scenarios", 2, "world position of the local frame's origin"),
    Column("road_shift", "F64", "scenarios", 2, "what to subtract from the points of the road map to get to the local frame"),
    Column("ids", "U8", "ids", meaning="JSON: the ids of the scenarios"),
    Column("sites", "U8", "sites", meaning="JSON: names of the sites"),
    Column("groups", "U8", "groups", meaning="JSON: names of the groups"),
    Column("road_file", "I64", "roads", meaning="number of the maps file of each road map"),
    Column("road_begin", "I64", "roads", len(MAP_AXES), "where the map begins on each axis of its file"),
    Column("road_count", "I64", "roads", len(MAP_AXES), "how much it has of each axis"),
    Column("road_sha256", "U8", "roads", 32, "sha256 of the map's tensors, in the order of their data"),
)


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class StoredFile(_Model):
    """A file of a store: path inside it, size, hash, and the hashes of its blocks one after another (empty in version 1)."""

    file: str
    bytes: int
    sha256: str
    blocks: str = ""


class StoredFeature(_Model):
    """A column of `state`."""

    name: str
    unit: str
    kind: str


class StoredReader(_Model):
    """A reader that scenarios of the store came from."""

    name: str
    version: str = ""
    options: dict[str, Any] = {}
    dataset: str = ""
    licence: str = ""
    citation: str = ""


class SchemaOf(_Model):
    """Name and version of the schema of a store."""

    name: Literal["twm-store"]
    version: int


SCHEMA = SchemaOf(name=SCHEMA_NAME, version=SCHEMA_VERSION)
"""What is written."""


class StoreManifest(_Model):
    """Everything about a store that is not a table.

    Attributes:
        schema_of: Name and version of the schema (`schema` in the file).
        generation: How often the manifest was written after the store was made: every addition and every split raises it.
        readers: Readers with versions and options, dataset, licence and citation; a line of the sources file names one by number.
        units: Units of length, time and angle.
        frame: The frame of positions, in words.
        dt: Every time between steps that occurs, ascending.
        features: The columns of `state`.
        actions: Number of columns of `action`, 0 without actions.
        counts: Numbers of sources, scenarios, agents, rows, states (rows at which the agent is there) and roads; of sources left out.
        skipped: What readers left out of the sources that were imported, by reason.
        bad: Sources left out because they cannot be read: name to message.
        provenance: Tables of how each feature came about; the index names one for each scenario.
        splits: What `twm data split` decided; empty before.
        index: The table of scenarios.
        sources: The sources file.
        shards: Shards in the order of their numbers.
        maps: Map files in the order of their numbers.
        sha256: Of the manifest without this field; see `manifest_text`.
    """

    schema_of: SchemaOf = Field(alias="schema")
    generation: int = 0
    readers: list[StoredReader]
    units: dict[str, str]
    frame: str
    dt: list[float]
    features: list[StoredFeature]
    actions: int = 0
    counts: dict[str, int]
    skipped: dict[str, int] = {}
    bad: dict[str, str] = {}
    provenance: list[dict[str, str]]
    splits: dict[str, Any] = {}
    index: StoredFile
    sources: StoredFile
    shards: list[StoredFile]
    maps: list[StoredFile]
    sha256: str = ""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns of `state`."""
        return tuple(f.name for f in self.features)

    @property
    def files(self) -> list[StoredFile]:
        """Every file that belongs to the store, beside the manifest."""
        return [self.index, self.sources, *self.shards, *self.maps]

    def holds(self, other: StoreManifest) -> bool:
        """Whether everything that the store of `other` holds is still there: it is that store, or it was added to since."""
        pairs = ((self.shards, other.shards), (self.maps, other.maps))
        return all([f.sha256 for f in mine[: len(theirs)]] == [f.sha256 for f in theirs] for mine, theirs in pairs)

    def text(self) -> str:
        """The manifest as JSON, in one way only."""
        return manifest_text(self.model_dump(by_alias=True))

    def fingerprint(self) -> str:
        """A hash (hex) of everything that the store holds, splits aside."""
        return hashlib.sha256("\n".join(f.sha256 for f in self.files).encode()).hexdigest()


def manifest_text(facts: Mapping[str, Any]) -> str:
    """The text of a manifest with these fields: JSON in one way only, with the sha256 of that text without the field `sha256`."""
    others = {name: value for name, value in facts.items() if name != "sha256"}
    digest = hashlib.sha256(_json(others).encode()).hexdigest()
    return _json({**others, "sha256": digest})


def _json(facts: Mapping[str, Any]) -> str:
    return json.dumps(facts, sort_keys=True, indent=1) + "\n"


def stored_features(names: Sequence[str]) -> list[StoredFeature]:
    """The features with the units and kinds that the schema of batches gives them."""
    known = [(n, TRAFFIC_FEATURES.get(n)) for n in names]
    return [StoredFeature(name=n, unit=f.unit if f else "", kind=f.kind if f else "continuous") for n, f in known]


def read_store_manifest(path: Path) -> StoreManifest:
    """The manifest of the store in the folder `path`.

    Raises:
        DataError: There is no store, its manifest is damaged, or a newer twm wrote it.
    """
    file = path / MANIFEST
    if not file.is_file():
        raise DataError(
            f"{path} is not a store: it has no {MANIFEST}" if path.exists() else f"there is no store {path}",
            "give the .twm folder that twm data import wrote",
        )
    try:
        facts = json.loads(file.read_bytes())
        schema = facts["schema"]
        name, version = schema["name"], schema["version"]
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}", "check its permissions") from error
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise DataError(f"{file} is damaged: {error}", REMEDY) from error
    if name != SCHEMA_NAME or not isinstance(version, int) or not 1 <= version <= SCHEMA_VERSION:
        newer = isinstance(version, int) and version > SCHEMA_VERSION
        raise DataError(
            f"{path} has the schema {name} {version}; this twm reads {SCHEMA_NAME} 1 to {SCHEMA_VERSION}",
            "use a newer version of twm" if newer else "import the data again",
        )
    try:
        return StoreManifest.model_validate(facts)
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"{file} is damaged: {'.'.join(map(str, first['loc']))}: {first['msg']}", REMEDY) from error
