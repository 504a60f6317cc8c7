"""The completion put together from a stream is the one the plain call would have given."""

import base64
import json
import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.assembly import HEAD, assembled, choice, chunk, fed, read
from support.exchanges import LIVES, plain_answer
from support.streams import ALL, choices_of, every, stream_of


def message(*deltas: Any) -> Any:
    return assembled(*(chunk(choice(delta)) for delta in deltas))["choices"][0]["message"]


# Whole streams.


def read_independently(stream: bytes) -> dict[int, dict[str, str]]:
    """The texts of each choice, read with nothing of ours."""
    texts: dict[int, dict[str, str]] = {}
    for line in stream.decode().split("\n"):
        if line.startswith("data: {"):
            for one in json.loads(line.removeprefix("data: "))["choices"]:
                for key, value in one["delta"].items():
                    if isinstance(value, str) and key != "role":
                        so_far = texts.setdefault(one["index"], {})
                        so_far[key] = so_far.get(key, "") + value
    return texts


def first_message(completion: bytes) -> Any:
    return json.loads(completion)["choices"][0]["message"]


@pytest.mark.parametrize("name", ALL)
def test_whole_streams_give_the_texts_read_independently(name: str) -> None:
    stream = stream_of(name)
    texts = read_independently(stream)
    assembly = read([stream], n=choices_of(name))
    completion = json.loads(assembly.completion())
    assert assembly.done
    assert assembly.complete
    assert assembly.unparsed == 0
    assert len(completion["choices"]) == choices_of(name)
    for one in completion["choices"]:
        assert {key: one["message"][key] for key in texts.get(one["index"], {})} == texts.get(
            one["index"], {}
        )


@pytest.mark.parametrize("name", every("logprobs beside each piece"))
def test_a_stream_gives_the_whole_completion_with_numbers_as_written(name: str) -> None:
    stream = stream_of(name)
    first = json.loads(stream[len("data: ") : stream.index(b"\n\n")])
    said = json.dumps(read_independently(stream)[0]["content"], ensure_ascii=False).encode()
    tokens = re.findall(rb'\{"token":.*?\[\]\}', stream)
    (usage,) = re.findall(rb'"usage":\{.*?\}\}', stream)
    assert len(tokens) == 2
    assert read([stream]).completion() == (
        b'{"id":"%b","object":"chat.completion","created":%d,"model":"%b","choices":[{"index":0,'
        b'"message":{"role":"assistant","content":%b,"refusal":null},"logprobs":{"content":[%b],'
        b'"refusal":null},"finish_reason":"stop"}],%b,"system_fingerprint":"%b"}'
        % (
            first["id"].encode(),
            first["created"],
            first["model"].encode(),
            said,
            b",".join(tokens),
            usage,
            first["system_fingerprint"].encode(),
        )
    )


def test_a_tool_call_in_fragments_is_put_together() -> None:
    assembly = read([stream_of("a tool call in fragments")])
    assert first_message(assembly.completion()) == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "call_OfOurOwn000000000000001",
                "type": "function",
                "function": {
                    "name": "find_record",
                    "arguments": '{"word":"gr\u00fcn tea","limit":20}',
                },
            }
        ],
        "refusal": None,
    }


@pytest.mark.parametrize("name", every("a tool call in fragments"))
def test_arguments_are_those_of_all_fragments(name: str) -> None:
    stream = stream_of(name)
    assembly = read([stream])
    message = first_message(assembly.completion())
    assert list(message) == ["role", "content", "tool_calls", "refusal"]
    assert (message["content"], message["refusal"]) == (None, None)
    (call,) = message["tool_calls"]
    assert list(call) == ["id", "type", "function"]
    fragments = re.findall(r'"arguments":("(?:[^"\\]|\\.)*")', stream.decode())
    assert call["function"]["arguments"] == "".join(map(json.loads, fragments))
    assert len(json.loads(call["function"]["arguments"])) == 2
    assert assembly.finish_reason == "tool_calls"
    assert assembly.usage is not None
    total = re.search(rb'"total_tokens":(\d+)', stream)
    assert total is not None
    assert assembly.usage["total_tokens"] == int(total[1])


@pytest.mark.parametrize("name", every("a refusal"))
def test_a_refusal_leaves_no_content(name: str) -> None:
    stream = stream_of(name)
    message = first_message(read([stream]).completion())
    assert message == {"role": "assistant", "content": None, **read_independently(stream)[0]}
    assert message["refusal"].endswith(".")


def test_an_answer_cut_by_max_tokens_says_so() -> None:
    assembly = read([stream_of("cut by max_tokens")])
    assert (assembly.complete, assembly.finish_reason) == (True, "length")
    assert first_message(assembly.completion())["content"] == "["


@pytest.mark.parametrize("name", ALL)
@given(data=st.data())
def test_a_whole_stream_gives_the_same_however_it_is_cut(name: str, data: st.DataObject) -> None:
    stream = stream_of(name)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    parts = [stream[start:end] for start, end in pairwise([0, *cuts, len(stream)])]
    assert read(parts).completion() == read([stream]).completion()


# What the attributes say on the way.


def test_a_stream_is_complete_when_every_choice_asked_for_has_ended() -> None:
    assembly = fed(chunk(choice({}, 0, finish_reason="stop")), n=2)
    assert not assembly.complete
    assembly.add(chunk(choice({"content": "b"}, 1)))
    assert not assembly.complete
    assembly.add(chunk(choice({}, 1, finish_reason="length")))
    assert assembly.complete
    assert assembly.finish_reason == "stop"
    assert not assembly.done
    assembly.add(b"[DONE]")
    assert assembly.done


def test_the_finish_reason_is_that_of_the_first_choice() -> None:
    ended = fed(chunk(choice({}, 1, finish_reason="length")))
    assert ended.finish_reason == "length"
    ended.add(chunk(choice({}, 0)))
    assert ended.finish_reason is None


@pytest.mark.parametrize(
    ("delta", "has_content"),
    [
        ({}, False),
        ({"role": "assistant", "content": "", "refusal": None}, False),
        ({"role": "assistant", "content": "", "tool_calls": []}, False),
        ({"content": " "}, True),
        ({"reasoning": "hm"}, True),
        ({"tool_calls": [{"index": 0}]}, True),
        ({"audio": {"id": "a"}}, True),
    ],
)
def test_content_is_more_than_the_opening_delta(delta: Any, has_content: bool) -> None:
    assert fed(chunk(choice(delta))).has_content is has_content


def test_an_empty_answer_that_ended_counts_as_content() -> None:
    assert fed(chunk(choice({}, finish_reason="stop"))).has_content


def test_the_last_error_is_given_as_json() -> None:
    assembly = fed(chunk(error=None))
    assert assembly.error is None
    assembly.add(b'{"error": {"message": "no", "code": 5.10}}')
    assert assembly.error == b'{"message":"no","code":5.10}'


def test_usage_is_given_with_python_numbers_and_written_as_it_came() -> None:
    assembly = fed(b'{"usage":{"cost":0.10}}', b'{"usage":null}')
    assert assembly.usage == {"cost": 0.1}
    assert b'"usage":{"cost":0.10}' in assembly.completion()


# What ends up where.


def test_keys_stand_in_the_order_of_a_plain_answer() -> None:
    last = choice({}, finish_reason="stop", logprobs=None, stop_reason=None)
    data = [
        chunk(x_groq={"id": 1}, system_fingerprint="fp", service_tier="default", obfuscation="a"),
        chunk(choice({"reasoning": "r", "content": "c", "role": "assistant"}), usage=None),
        chunk(last, usage={"total_tokens": 1}, x_groq={"id": 2}, obfuscation="b"),
    ]
    assert fed(*data).completion() == (
        b'{"id":"c1","object":"chat.completion","created":7,"model":"m","choices":[{"index":0,'
        b'"message":{"role":"assistant","content":"c","reasoning":"r"},"logprobs":null,'
        b'"finish_reason":"stop","stop_reason":null}],"usage":{"total_tokens":1},'
        b'"service_tier":"default","system_fingerprint":"fp","x_groq":{"id":2}}'
    )


def test_choices_stand_in_the_order_of_their_index() -> None:
    completion = assembled(chunk(choice({"content": "b"}, 1)), chunk({"delta": {"content": "a"}}))
    assert [(one["index"], one["message"]["content"]) for one in completion["choices"]] == [
        (0, "a"),
        (1, "b"),
    ]


def test_the_first_id_and_the_last_model_that_say_something_are_kept() -> None:
    azure = chunk(id="", model="", created=0, prompt_filter_results=[{"prompt_index": 0}])
    completion = assembled(azure, chunk(), chunk(id="c2", model="m2", created=8), azure)
    assert (completion["id"], completion["model"], completion["created"]) == ("c1", "m2", 8)
    assert completion["prompt_filter_results"] == [{"prompt_index": 0}]


def test_content_filter_results_are_overwritten_by_member() -> None:
    first = {"hate": {"filtered": False}, "violence": {"filtered": False}}
    last = {"hate": {"filtered": True}, "violence": None}
    data = [chunk(choice({}, content_filter_results=results)) for results in ({}, first, last)]
    assert assembled(*data)["choices"][0]["content_filter_results"] == {
        "hate": {"filtered": True},
        "violence": {"filtered": False},
    }


def test_lists_of_a_choice_grow_and_its_strings_are_overwritten() -> None:
    data = [chunk(choice({}, token_ids=[n], note=str(n))) for n in (1, 2)]
    one = assembled(*data)["choices"][0]
    assert (one["token_ids"], one["note"]) == ([1, 2], "2")


def test_logprobs_are_absent_when_no_chunk_has_them_and_null_when_all_are_null() -> None:
    assert "logprobs" not in assembled(chunk(choice({})))["choices"][0]
    assert assembled(chunk(choice({}, logprobs=None)))["choices"][0]["logprobs"] is None


def test_logprobs_are_put_one_after_the_other() -> None:
    parts = [{"content": [], "refusal": None}, {"content": [1], "refusal": [2]}, None]
    data = [chunk(choice({}, logprobs=part)) for part in [None, *parts, parts[1]]]
    assert assembled(*data)["choices"][0]["logprobs"] == {"content": [1, 1], "refusal": [2, 2]}


def test_usage_inside_a_choice_is_the_usage_when_there_is_no_other() -> None:
    inside = chunk(choice({}, usage={"total_tokens": 5}))
    completion = assembled(inside)
    assert completion["usage"] == completion["choices"][0]["usage"] == {"total_tokens": 5}
    assert assembled(chunk(usage={"total_tokens": 6}), inside)["usage"] == {"total_tokens": 6}


@pytest.mark.parametrize(
    "instead",
    [
        {"tool_calls": [{"index": 0, "id": "a"}]},
        {"function_call": {"name": "f"}},
        {"refusal": "no"},
        {"audio": {"id": "a"}},
    ],
)
def test_empty_content_is_null_beside_what_came_instead(instead: Any) -> None:
    assert message({"role": "assistant", "content": ""}, instead)["content"] is None


def test_empty_content_alone_stays_empty() -> None:
    assert message({"role": "assistant", "content": "", "refusal": None}) == {
        "role": "assistant",
        "content": "",
        "refusal": None,
    }


def test_a_whole_message_in_the_last_chunk_replaces_what_it_says() -> None:
    data = [
        chunk(choice({"content": "He", "reasoning": "r"})),
        chunk(choice({"content": "y"}, message={"content": "Hey!", "role": None})),
        chunk({"index": 0, "message": {"content": "", "tool_calls": [{"id": "a"}]}}),
    ]
    assert assembled(*data)["choices"][0]["message"] == {
        "role": "assistant",
        "content": "Hey!",
        "reasoning": "r",
        "tool_calls": [{"id": "a"}],
    }


def test_audio_goes_on_after_the_end_and_past_chunks_without_choices() -> None:
    def sound(audio: Any, **keys: Any) -> bytes:
        return chunk(choice({"audio": audio}, **keys))

    bare = json.dumps({**HEAD, "usage": None}).encode()
    data = [
        sound({"id": "audio_1", "transcript": "He"}),
        bare,
        sound({"transcript": "y", "data": "QUJD"}),
        sound({"data": "REVG"}, finish_reason=None),
        chunk(choice({}, finish_reason="stop")),
        bare,
        chunk(usage={"total_tokens": 5}),
        sound({"expires_at": 11}),
        b"[DONE]",
    ]
    assembly = fed(*data)
    completion = json.loads(assembly.completion())
    assert assembly.complete
    assert completion["usage"] == {"total_tokens": 5}
    assert completion["choices"][0]["message"] == {
        "role": "assistant",
        "content": None,
        "audio": {"id": "audio_1", "transcript": "Hey", "data": "QUJDREVG", "expires_at": 11},
    }


@given(st.lists(st.binary(max_size=8), max_size=6))
def test_audio_pieces_padded_each_become_one_base64_text(sounds: list[bytes]) -> None:
    pieces = [base64.b64encode(sound).decode() for sound in sounds]
    audio = message(*({"audio": {"data": piece}} for piece in ["", *pieces]))["audio"]
    assert audio["data"] == base64.b64encode(b"".join(sounds)).decode()


@pytest.mark.parametrize("data", ["=AAA=BBBB", "A=B=C", "äö=ü", "AA==A", "===", "AAAA=\nAAAA"])
def test_audio_that_is_no_base64_is_left_as_it_came(data: str) -> None:
    assert message({"audio": {"data": data}})["audio"]["data"] == data


def test_a_surrogate_pair_cut_over_two_chunks_becomes_one_character() -> None:
    half = rb'{"choices":[{"delta":{"content":"%s"}}]}'
    assembly = fed(half % rb"a\ud83d", half % rb"\ude00b\ud83d")
    assert assembly.unparsed == 0
    assert '"content":"a😀b\\ud83d"'.encode() in assembly.completion()


def test_numbers_stay_as_written() -> None:
    numbers = b"[1e3,-0,1E400,0.10,123456789012345678901234567890]"
    data = b'{"x":%s,"choices":[{"delta":{"y":%s},"z":%s}]}' % (numbers, numbers, numbers)
    assert fed(data).completion().count(numbers) == 3


@pytest.mark.parametrize("name", LIVES)
def test_a_plain_answer_sent_as_a_stream_comes_back_byte_for_byte(name: str) -> None:
    plain = plain_answer(name)
    answer = json.loads(plain)
    usage, (one,) = answer.pop("usage"), answer.pop("choices")
    said = one.pop("message")
    opening = choice({**said, "content": ""}, logprobs=None)
    pieces = [choice({"content": word}) for word in re.findall(r"\s*\S+", said["content"])]
    ending = choice({}, finish_reason=one["finish_reason"])
    data = [
        json.dumps({**answer, "choices": [part], "usage": None}).encode()
        for part in (opening, *pieces, ending)
    ]
    last = json.dumps({**answer, "choices": [], "usage": usage}).encode()
    assert len(pieces) > 1
    assert fed(*data, last).completion() == plain
