"""What Prometheus is told of requests."""

from chatkeep.web.metrics import Metrics


def test_requests_are_counted_by_how_they_were_answered() -> None:
    lines = told(("/a", "GET", 200, 0.1), ("/a", "GET", 404, 0.1), ("/a", "GET", 200, 0.1))
    assert 'chatkeep_requests_total{method="GET",route="/a",status="200"} 2.0' in lines
    assert 'chatkeep_requests_total{method="GET",route="/a",status="404"} 1.0' in lines


def test_durations_are_those_of_a_route_however_answered() -> None:
    two = (("/a", "GET", 200, 0.25), ("/a", "GET", 404, 0.5))
    lines = told(*two, ("/a", "GET", 200, 1024.0), ("/a", "POST", 200, 0.125))
    bounds = ("0.1", "0.25", "0.5", "1.0", "300.0", "+Inf")
    assert [within(lines, "GET", bound) for bound in bounds] == [0, 1, 2, 2, 2, 3]
    assert [within(lines, "POST", bound) for bound in bounds] == [0, 1, 1, 1, 1, 1]
    assert 'chatkeep_request_seconds_sum{method="GET",route="/a"} 1024.75' in lines
    assert 'chatkeep_request_seconds_count{method="GET",route="/a"} 3.0' in lines


def told(*answered: tuple[str, str, int, float]) -> list[str]:
    metrics = Metrics()
    for one in answered:
        metrics.requests.answered(*one)
    return metrics.text().decode().splitlines()


def within(lines: list[str], method: str, bound: str) -> float:
    start = f'chatkeep_request_seconds_bucket{{le="{bound}",method="{method}",route="/a"}} '
    return next(float(line.removeprefix(start)) for line in lines if line.startswith(start))
