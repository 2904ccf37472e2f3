"""What could tie accounts together is told from a request alone."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from models.links import links_of, network_of
from tests.models.traffic import request


def test_links_are_values_networks_and_clients() -> None:
    one = request(
        links={"payment": "fp_9", "org": "x.example", "device": ""},
        ip="2001:db8:1:2::3",
        ja4="t13d",
        asn=64_512,
    )
    assert links_of(one) == [
        "org:x.example",
        "payment:fp_9",
        "range:2001:db8:1::/48",
        "client:t13d|64512",
    ]
    assert links_of(request(ip="no address")) == []
    assert len(links_of(request(links={f"l{n}": "v" for n in range(16)}))) == 6


@given(
    st.ip_addresses().map(str)
    | st.lists(
        st.sampled_from(["0", "00", "7", "07", "255", "256", "-1", "٣", ""]), max_size=5
    ).map(".".join)
    | st.text(max_size=20)
)
def test_an_address_lies_in_the_network_that_the_standard_library_finds(ip: str) -> None:
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        expected = None
    else:
        length = 24 if address.version == 4 else 48
        expected = f"range:{ipaddress.ip_network((address, length), strict=False)}"
    assert network_of(ip) == expected
