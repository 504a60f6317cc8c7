"""The bytes most records begin with: English words and phrases, shapes of requests and answers.

Written by hand, the shapes after OpenAI's documented ones and as MessagePack has them here, so it
holds nobody's text. Whatever stands nearer to its end costs fewer bits.

TABLES say how often bytes, lengths and distances occur, so that no short text has to say it again;
zstd's `finalize_dict` made them of completions in the words of chatkeep's own documentation.

A record can only be read with the dictionary it was written with: changing this one, or its tables,
means a new record version.
"""

_WORDS = (
    b" the of and to a in that is for it with as was on be at by this have from or had not but "
    b"what all were when we there can an your which their said if do will each about how up out "
    b"them then she many some so these would other into has more her two like him see time could "
    b"no make than first been its who now people my made over did down only way find use may "
    b"water long little very after words called just where most know get through back much before "
    b"go good new write our used me man too any day same right look think also around another "
    b"came come work three word must because does part even place well such here take why things "
    b"help put years different away again off went old number great tell men say small every "
    b"found still between name should home big give air line set own under read last never us "
    b"left end along while might next below saw something thought both few those always looked "
    b"show large often together asked house world going want school important until form food "
    b"keep children feet land side without boy once animals life enough took four head above kind "
    b"began almost live page got earth need far hand high year mother light country father let "
    b"night following picture being study second soon story since white ever paper hard near "
    b"sentence better best across during today however sure knew try told young sun thing whole "
    b"hear example heard several change answer room sea against top turned learn point city play "
    b"toward five himself usually money seen car morning body upon family later turn move face "
    b"door cut done group true half red fish plants "
)

_PHRASES = (
    b" I can help you with that. Could you please provide Please let me know if you have any "
    b"questions. Here is Here are the following information. Thank you for your Unfortunately, "
    b"I'm sorry, but Yes, please. I would like to Is there anything else I can assist you with? "
    b"First, we need to find out how many times the total number of is equal to Therefore, the "
    b"answer is So, For example, In this case, Let me know if there's anything else. "
)

# Of Responses, which are not kept yet. They stand further from the end than those of chat.
_RESPONSES = (
    b'{"model":"gpt-5.1","model":"gpt-5","input":[{"role":"user","content":[{"type":"input_text",'
    b'"text":""},{"type":"input_image","image_url":"","detail":"auto"}]},{"type":"function_call_out'
    b'put","call_id":"call_","output":""}],"instructions":"","include":["reasoning.encrypted_conten'
    b't"],"store":true,"stream":true,"previous_response_id":"resp_","prompt_cache_key":"",'
    b'"max_output_tokens":1024,"truncation":"auto","background":true,"conversation":"conv_",'
    b'"tools":[{"type":"web_search"},{"type":"function","name":"get_","description":"","parameters":'
    b'{"type":"object","properties":{}},"strict":true}],"tool_choice":"auto"}'
    b'{"id":"resp_","object":"response","created_at":17,"status":"completed","background":false,'
    b'"completed_at":17,"error":null,"incomplete_details":null,"instructions":null,'
    b'"max_output_tokens":null,"max_tool_calls":null,"model":"gpt-5","output":[{"id":"rs_",'
    b'"type":"reasoning","summary":[{"type":"summary_text","text":"**"}],"encrypted_content":"gAAAA'
    b'"},{"id":"fc_","type":"function_call","status":"completed","arguments":"{\\"\\":\\"\\"}",'
    b'"call_id":"call_","name":"get_"},{"id":"msg_","type":"message","status":"completed","content":['
    b'{"type":"output_text","annotations":[],"logprobs":[],"text":""}],"role":"assistant"}],'
    b'"parallel_tool_calls":true,"previous_response_id":null,"prompt_cache_key":null,"reasoning":{"ef'
    b'fort":"medium","summary":null},"safety_identifier":null,"service_tier":"default","store":true,'
    b'"temperature":1.0,"text":{"format":{"type":"text"},"verbosity":"medium"},"tool_choice":"auto",'
    b'"tools":[],"top_logprobs":0,"top_p":1.0,"truncation":"disabled","usage":{"input_tokens":1,'
    b'"input_tokens_details":{"cached_tokens":0},"output_tokens":1,"output_tokens_details":{"reasonin'
    b'g_tokens":0},"total_tokens":2},"user":null,"metadata":{}}'
)

_SHAPES = (
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
    b'{"name":"","arguments":"{\\"\\":\\"\\"}"}}]},{"content":null,"role":"assistant","tool_calls":['
    b'{"function":{"arguments":"{\\"\\":\\"\\"}","name":"get_"},"id":"call_","type":"function"}]},'
    b'{"role":"assistant","content":"'
    b'{"model":"claude-sonnet-4","model":"llama3.1","model":"gpt-5","model":"gpt-4.1-mini",'
    b'"model":"gpt-4o-mini","model":"gpt-4o","messages":[{"role":"user","content":""}],'
    b'"temperature":0.7,"temperature":0.0,"tools":"max_completion_tokens":512,"store":true,'
    b'"metadata":{"env":"prod","user_id":"session_id":"run":""}}'
    b'\xc5\x03{"id":"","object":"chat.completion","created":17,'
    b'"model":"gpt-4o-2024-08-06",'
    b'"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"message":{"role":"assistant",'
    b'"content":null,"tool_calls":[{"id":"call_","type":"function","function":{"name":"","arguments'
    b'":"{\\"\\":\\"\\"}"}}],"tool_calls":[{"function":{"arguments":"{\\"\\":\\"\\"}","name":"get_"},'
    b'"id":"call_","type":"function"}],"refusal":null,"annotations":[]},"logprobs":null,'
    b'"finish_reason":'
    b'"tool_calls"}],"finish_reason":"length","message":{"role":"assistant","content":"","refusal":'
    b'null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":1,'
    b'"completion_tokens":1,"total_tokens":1,"prompt_tokens_details":{"cached_tokens":0,'
    b'"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,'
    b'"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},"service_tier":"default",'
    b'"system_fingerprint":"fp_"}\x91\x92\x07\x00\xc0\x00\x90\x90\xc0\x00'
)

DICTIONARY = _WORDS + _PHRASES + _RESPONSES + _SHAPES

TABLES = bytes.fromhex(
    "37a430ec6a87a0054210a832dc1c3033333313ca9fa8aa6a741733167444d1a849296c8b6cfbd2b693488ba5"
    "4519f3f08d78a58f8647d9232004bb9b9a9a88148436df5f2980987107b201430018285098b0582e191ba903"
    "00042090d64e882853611411634888e33010010000c600004019006000c00000000000342b09654585814c4f"
    "c2984212293433220000000000010000000400000008000000"
)
