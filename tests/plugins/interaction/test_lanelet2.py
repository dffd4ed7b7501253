"""Reading lanelet2 maps: the projection, ways and relations, speed limits, and how bad files are refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from twm_core.errors import DataError
from twm_interaction.lanelet2 import metres_per_second, read_osm, utm


def utm_by_hand(lat: float, lon: float, central: float) -> tuple[float, float]:
    """Easting (without the false 500 km) and northing on WGS 84, from the series of Redfearn up to the fourth order."""
    a, f, k0 = 6378137.0, 1 / 298.257223563, 0.9996
    e2 = f * (2 - f)
    second = e2 / (1 - e2)
    phi, along = math.radians(lat), math.radians(lon - central) * math.cos(math.radians(lat))
    n = a / math.sqrt(1 - e2 * math.sin(phi) ** 2)
    t, c = math.tan(phi) ** 2, second * math.cos(phi) ** 2
    meridian = a * (
        (1 - e2 / 4 - 3 * e2**2 / 64 - 5 * e2**3 / 256) * phi
        - (3 * e2 / 8 + 3 * e2**2 / 32 + 45 * e2**3 / 1024) * math.sin(2 * phi)
        + (15 * e2**2 / 256 + 45 * e2**3 / 1024) * math.sin(4 * phi)
        - 35 * e2**3 / 3072 * math.sin(6 * phi)
    )
    east = n * (along + (1 - t + c) * along**3 / 6 + (5 - 18 * t + t**2 + 72 * c - 58 * second) * along**5 / 120)
    north = meridian + n * math.tan(phi) * (along**2 / 2 + (5 - t + 9 * c + 4 * c**2) * along**4 / 24)
    return k0 * east, k0 * north


def test_the_projection_is_utm_less_the_origin():
    # Zone 31 has its central meridian at 3 degrees east; the origin lies on the equator, 3 degrees west of it.
    places = np.asarray([(0.0, 0.0), (0.00901009527, 0.0090190201), (0.0088, -0.004), (0.5, 0.25)])
    origin = utm_by_hand(0, 0, 3)
    expected = np.asarray([utm_by_hand(lat, lon, 3) for lat, lon in places]) - origin
    np.testing.assert_allclose(utm(places, (0.0, 0.0)), expected, atol=2e-3)


def test_the_projection_of_another_origin_uses_its_zone():
    # 49 N, 8.4 E is in zone 32 (central meridian 9 E).
    places = np.asarray([(49.001, 8.402), (48.999, 8.399)])
    expected = np.asarray([utm_by_hand(lat, lon, 9) for lat, lon in places]) - utm_by_hand(49.0, 8.4, 9)
    np.testing.assert_allclose(utm(places, (49.0, 8.4)), expected, atol=2e-3)


def test_nodes_of_both_kinds_lie_in_one_frame(tmp_path):
    path = tmp_path / "a.osm"
    path.write_text(
        "<osm><node id='1' lat='0.00000903483' lon='0.00000897435'/><node id='2' x='3' y='-4'/>"
        "<node id='3' lat='9' lon='9'><tag k='local_x' v='5'/><tag k='local_y' v='6'/></node>"
        "<way id='7'><nd ref='1'/><nd ref='2'/><nd ref='3'/><tag k='type' v='virtual'/></way></osm>"
    )
    osm = read_osm(path)
    np.testing.assert_allclose(osm.line(osm.ways["7"].nodes), [(1, 1), (3, -4), (5, 6)], atol=1e-3)
    assert osm.ways["7"].tags == {"type": "virtual"}


def test_what_an_editor_deleted_is_passed_over(tmp_path):
    path = tmp_path / "a.osm"
    path.write_text("<osm><node id='1' x='0' y='0' action='delete'/><node id='2' x='0' y='0' visible='false'/></osm>")
    assert not read_osm(path).nodes


@pytest.mark.parametrize(
    ("text", "speed"),
    [
        ("50 km/h", 50 / 3.6),
        ("15mph", 15 * 0.44704),
        ("30", 30 / 3.6),
        ("13.5 m/s", 13.5),
        ("de274-60", 60 / 3.6),
        ("usR2-1", None),
        ("", None),
        ("walk", None),
    ],
)
def test_speed_limits_are_read_with_their_unit(text, speed):
    assert metres_per_second(text) == pytest.approx(speed)


BAD = {
    "not well-formed": ("<osm><node id='1'", r"bad\.osm, line 1, column \d+: not well-formed XML"),
    "another root": ("<map/>", r"bad\.osm: the root element is <map>, not <osm>"),
    "no place": ("<osm><node id='1' lat='0'/></osm>", r"bad\.osm: node 1: has neither lat and lon nor x and y"),
    "no number": ("<osm><node id='1' lat='north' lon='0'/></osm>", r"bad\.osm: node 1: lat is 'north', not a number"),
    "NaN": ("<osm><node id='1' x='nan' y='0'/></osm>", r"bad\.osm: node 1: x is not a finite number"),
    "a pole": ("<osm><node id='1' lat='90' lon='0'/></osm>", r"bad\.osm: node 1: latitude 90, longitude 0 is outside of UTM"),
    "a missing node": ("<osm><way id='5'><nd ref='9'/></way></osm>", r"bad\.osm: way 5 names node 9, which is not in the file"),
    "no id": ("<osm><way/></osm>", r"bad\.osm: a way has no id"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_map_is_refused_by_name_and_element(case, tmp_path):
    text, message = BAD[case]
    (tmp_path / "bad.osm").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_osm(tmp_path / "bad.osm")
    assert caught.value.hint
