"""What the benchmark asks of other servers."""

import pytest
import yaml

from bench.ledger import Ledger
from bench.peers import PEERS, Peer
from bench.scenarios import SCENARIOS

SCENARIO = {scenario.name: scenario for scenario in SCENARIOS}
GATEWAY = Peer("gateway", "gateway==1", ("gateway",), "", "/health")
STORING = Peer(
    "storing", "storing==1", ("s",), "", "/health", keeps=frozenset({"create", "retrieve"})
)


def test_a_gateway_forwards_and_is_not_asked_for_what_it_cannot_have() -> None:
    create, retrieve = SCENARIO["create"], SCENARIO["retrieve"]

    assert GATEWAY.load(create, Ledger()) == create.reference
    assert GATEWAY.load(retrieve, Ledger()) is None


def test_one_that_keeps_is_given_what_chatkeep_is_given() -> None:
    ledger = Ledger()
    create, retrieve = SCENARIO["create"], SCENARIO["retrieve"]

    assert STORING.load(create, ledger) == create.load
    assert STORING.load(retrieve, ledger) is None  # there is nothing it has acknowledged
    ledger.created("chatcmpl-1", 1)
    assert STORING.load(retrieve, ledger) == retrieve.load


def test_scenarios_that_a_peer_keeps_in_exist() -> None:
    assert {name for peer in PEERS for name in peer.keeps} <= SCENARIO.keys()


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_a_config_is_yaml_once_it_is_filled_in(peer: Peer) -> None:
    filled = peer.config.format(port=1, config="c", folder="/f", upstream="http://127.0.0.1:2")

    assert isinstance(yaml.safe_load(filled), dict)
    assert "http://127.0.0.1:2" in filled + "".join(peer.environment.values()).format(
        port=1, config="c", folder="/f", upstream="http://127.0.0.1:2"
    )
