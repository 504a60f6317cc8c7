"""What is the chat completions API's alone: its requests, answers, ids and objects."""
