"""Infinity's API: documents are returned as strings."""

from __future__ import annotations

import httpx

from tests.helpers.serving import encoded_document, post


def test_documents_are_returned_as_strings(client: httpx.Client) -> None:
    image = encoded_document(1)
    sent = ["a", image, {"text": "c"}, {"same_as": 0}, {"text": "d", **image}]
    body = post(client, sent, "/infinity/rerank", return_documents=True).json()
    documents = {result["index"]: result["document"] for result in body["results"]}
    assert documents == {0: "a", 1: image["image"], 2: "c", 3: "a", 4: image["image"]}
    plain = post(client, sent, "/infinity/rerank").json()["results"]
    assert plain == post(client, sent).json()["results"] and "document" not in plain[0]
