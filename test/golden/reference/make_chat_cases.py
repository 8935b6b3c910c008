"""Makes test/golden/vocabulary/chats.json: chat templates, and the texts and ids that transformers makes of chats with them.

    pip install transformers && python test/golden/reference/make_chat_cases.py

The vocabulary is that of tokenizer.json beside it with the templates' tokens. SmolLM2's template is that of the model,
the others are short forms of Llama 3's and Qwen2.5's; "plain" has no token that ends an answer.
"""
import json
from pathlib import Path

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

OUT = Path(__file__).resolve().parents[3] / "test/golden/vocabulary"
FAST = json.loads((OUT / "tokenizer.json").read_text("utf8"))
TOKENS = ["<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|begin_of_text|>"]
SMOLLM = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
    "' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n"
    "' + message['content'] + '<|im_end|>' + '\n"
    "'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA = """{{- bos_token }}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{#- The system message, if there is one. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" + system_message + "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif not message.tool_calls|length == 1 %}
        {{- raise_exception("This model only supports single tool-calls at once!") }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""
QWEN = """{%- if tools %}
    {{- tools | tojson }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>system\\nYou are Qwen.<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
PLAIN = """{% for message in messages %}
{{ message.role }}: {{ message.content }}
{% endfor %}
{% if add_generation_prompt %}
assistant: {% endif %}"""
ENDED = "{% for message in messages %}{{ message.content }}{{ eos_token }}{% endfor %}"
TEMPLATES = {
    "smollm": (SMOLLM, "<|im_end|>"),
    "llama": (LLAMA, "<|eot_id|>"),
    "qwen": (QWEN, "<|im_end|>"),
    "base": (QWEN, "<|endoftext|>"),
    "plain": (PLAIN, "<|endoftext|>"),
    "ended": (ENDED, "<|endoftext|>"),
}
HELLO = {"role": "user", "content": "Wer hat das Recht?"}
ANSWER = {"role": "assistant", "content": "Jeder Mensch."}
CHATS = [
    [HELLO],
    [HELLO, ANSWER],
    [{"role": "system", "content": "  Kurz, bitte. "}, HELLO, ANSWER, {"role": "user", "content": "Und\n\nwann? "}],
    [HELLO, ANSWER, {"role": "user", "content": ""}, {"role": "assistant", "content": "Immer: 1, 2 {{ x }} <|im_start|>"}],
]


def main():
    json_ = {**FAST, "added_tokens": [*FAST["added_tokens"]]}
    for token in TOKENS:
        flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        json_["added_tokens"].append({"id": 300 + TOKENS.index(token), "content": token, **flags})
    lines = []
    for name, (template, end) in TEMPLATES.items():
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(json_)))
        tokenizer.chat_template = template
        tokenizer.eos_token, tokenizer.bos_token = end, "<|begin_of_text|>"
        cases = []
        for chat in CHATS:
            for prompt in (False, True):
                text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=prompt)
                ids = tokenizer(text, add_special_tokens=False)["input_ids"]
                cases.append([chat, prompt, text, ids])
        lines.append(f"{dump(name)}:{dump({'template': template, 'eos_token': end, 'cases': cases})}")
    head = f'"added_tokens":{dump(json_["added_tokens"])}'
    (OUT / "chats.json").write_text("{" + ",\n".join([head, *lines]) + "}\n", "utf8")


def dump(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


main()
