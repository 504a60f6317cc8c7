"""The bytes most records begin with: what chat requests and answers look like, before any text.

Written by hand after OpenAI's documented shapes, so it holds nobody's text. Whatever stands nearer
to its end costs fewer bits. A record can only be read with the dictionary it was written with:
changing this one means a new record version.
"""

DICTIONARY = (
    b'{"type":"function","function":{"name":"get_","description":"","parameters":{"type":"object",'
    b'"properties":{"id":{"type":"string","description":"The "},"required":[""],'
    b'"additionalProperties":false},"strict":true}}]'
    b'"response_format":{"type":"json_schema","json_schema":{"name":"","schema":{},"strict":true}},'
    b'"response_format":{"type":"json_object"},"reasoning_effort":"medium","verbosity":"low",'
    b'"tool_choice":"auto","parallel_tool_calls":true,"stop":null,"seed":42,"user":"","n":1,'
    b'"presence_penalty":0,"frequency_penalty":0,"top_p":1,"max_tokens":1024,'
    b'"max_completion_tokens":512,"stream":true,"stream_options":{"include_usage":true},'
    b'{"role":"developer","content":"","role":"system","content":"You are a helpful assistant. '
    b'[{"type":"text","text":""},{"type":"image_url","image_url":{"url":"https://","detail":"auto"}'
    b'"data:image/png;base64,"data:image/jpeg;base64,{"type":"input_audio","input_audio":{"data":"'
    b'{"role": "system", "content": "{"role": "user", "content": "'
    b'{"role": "assistant", "content": "'
    b'{"role":"tool","tool_call_id":"call_","name":"","content":"{\\"error\\":\\"\\",\\"result\\":'
    b'{"role":"assistant","content":null,"tool_calls":[{"id":"call_","type":"function","function":'
    b'{"name":"","arguments":"{\\"\\":\\"\\"}"}}]},{"role":"assistant","content":"'
    b'{"model":"claude-sonnet-4","model":"llama3.1","model":"gpt-5","model":"gpt-4.1-mini",'
    b'"model":"gpt-4o-mini","model":"gpt-4o","messages":[{"role":"user","content":""}],'
    b'"temperature":0.7,"temperature":0.0,"tools":"max_completion_tokens":512,"store":true,'
    b'"metadata":{"env":"prod","user_id":"session_id":"run":""}}'
    b'{"id":"chatcmpl-","object":"chat.completion","created":17,"model":"gpt-4o-2024-08-06",'
    b'"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"message":{"role":"assistant",'
    b'"content":null,"tool_calls":[{"id":"call_","type":"function","function":{"name":"","arguments'
    b'":"{\\"\\":\\"\\"}"}}],"refusal":null,"annotations":[]},"logprobs":null,"finish_reason":'
    b'"tool_calls"}],"finish_reason":"length","message":{"role":"assistant","content":"","refusal":'
    b'null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":1,'
    b'"completion_tokens":1,"total_tokens":1,"prompt_tokens_details":{"cached_tokens":0,'
    b'"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,'
    b'"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},"service_tier":"default",'
    b'"system_fingerprint":"fp_"}'
)
