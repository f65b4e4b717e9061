"""A server of the page whose answers a test writes."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from minigpt_pipeline.serving.page import render_page
from minigpt_pipeline.serving.requests import GenerateRequest

JSON = {"Content-Type": "application/json"}
MODEL = {
    "model": "minigpt",
    "model_version": "3",
    "vocabulary_size": 20_000,
    "context": 80,
    "has_learnt_ends": True,
    "defaults": {
        "temperature": 1.0, "top_k": None, "top_p": 0.95, "min_p": None, "repetition_penalty": None,
        "no_repeat_ngram_size": None, "max_new_tokens": 40, "stop_at_end_of_review": None, "seed": 42,
    },
    "presets": {"default": {}, "careful": {"temperature": 0.7, "top_p": 0.9}},
    "limits": {"max_prompts": 2, "max_prompt_characters": 100, "max_new_tokens": 600},
}  # fmt: skip


class Pretender:
    """A server of the page whose answers a test writes: one for each request, the last for all further ones."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], list[bytes]]] = []
        self.received: list[dict[str, Any]] = []
        self.model: dict[str, Any] | None = MODEL
        self.key = ""
        pretender, page = self, render_page(GenerateRequest)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"  # an answer ends with its connection

            def answer(self, status: int, headers: dict[str, str], pieces: list[bytes]) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                for piece in pieces:
                    self.wfile.write(piece)

            def do_GET(self) -> None:
                if self.path == "/":
                    self.answer(200, page.headers | {"Content-Type": "text/html"}, [page.html.encode()])
                elif pretender.key and self.headers["Authorization"] != f"Bearer {pretender.key}":
                    error = {"error": {"code": "unauthorized", "message": "It wants a key."}}
                    self.answer(401, JSON, [json.dumps(error).encode()])
                elif pretender.model is None:
                    self.answer(
                        503, JSON, [b'{"error": {"code": "no_model", "message": "No model is loaded."}}']
                    )
                else:
                    self.answer(200, JSON, [json.dumps(pretender.model).encode()])

            def do_POST(self) -> None:
                pretender.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.answer(*pretender.answers[min(len(pretender.received), len(pretender.answers)) - 1])

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}"

    def refuse(self, status: int, code: str, message: str, **headers: str) -> None:
        error = {"error": {"code": code, "message": message}}
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append((status, JSON | headers, [json.dumps(error).encode()]))

    def stream(self, *events: tuple[str, dict[str, Any]], newline: str = "\n", pieces: int = 1000) -> None:
        text = "".join(
            f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n: a comment\n\n"
            for name, data in events
        )
        content = text.replace("\n", newline).encode()
        cut = [content[i : i + pieces] for i in range(0, len(content), pieces)]
        self.answers.append((200, {"Content-Type": "text/event-stream"}, cut))


def start(version: str = "3") -> tuple[str, dict[str, Any]]:
    parameters = {name: value for name, value in MODEL["defaults"].items() if name != "seed"}
    return "start", {"id": "1", "model": "minigpt", "model_version": version, "parameters": parameters}


def token(text: str, new_tokens: int, index: int = 0) -> tuple[str, dict[str, Any]]:
    return "token", {"index": index, "text": text, "readable_text": text, "new_tokens": new_tokens}


def done(*texts: str) -> tuple[str, dict[str, Any]]:
    described = [
        {"index": index, "readable_text": text, "new_tokens": 40, "finish_reason": "end"}
        for index, text in enumerate(texts)
    ]
    return "done", {"texts": described}
