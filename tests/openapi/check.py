"""Whether /openapi.json is true to its word: valid OpenAPI, valid examples, and good enough to make a client of.

    python check.py BASE_URL FOLDER

Needs what requirements.txt names. The client is generated into FOLDER, hands a file in and redeems the ticket.
"""

import hashlib
import importlib
import io
import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import httpx
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate


def main(base, folder):
    with urllib.request.urlopen(f"{base}/openapi.json") as response:
        text = response.read()
    description = json.loads(text)
    validate(description)
    check_examples(description)
    client = generate(text, Path(folder))
    hand_in_and_redeem(client, base)
    print("ok")


def check_examples(description):
    """Every JSON body that is described has an example, and every example is what its schema says."""
    for place, schema, content in bodies(description):
        examples = [example["value"] for example in content.get("examples", {}).values()]
        examples += [content["example"]] if "example" in content else []
        named = resolved(description, schema)
        examples += [named["example"]] if "example" in named else []
        whole = {**schema, "components": description["components"]}
        validator = OAS31Validator(whole, format_checker=OAS31Validator.FORMAT_CHECKER)
        for example in examples:
            validator.validate(example)
        by_field = all("example" in field or "$ref" in field for field in named.get("properties", {"": {}}).values())
        assert examples or by_field, f"{place} has no example"


def bodies(description):
    """Each response with a JSON body: where it is, its schema, all that stands beside it."""
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            for status, response in operation["responses"].items():
                for media_type, content in response.get("content", {}).items():
                    if media_type.endswith("json") and content["schema"] != {"type": "object"}:
                        yield f"{method} {path} {status}", content["schema"], content


def resolved(description, schema):
    if "$ref" not in schema:
        return schema
    return description["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]


def generate(text, folder):
    """The client, as a module."""
    folder.mkdir(parents=True, exist_ok=True)
    source, target = folder / "openapi.json", folder / "coatcheck_client"
    source.write_bytes(text)
    generator = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none", "--overwrite"]
    subprocess.run([*generator, "--path", source, "--output-path", target], check=True)
    sys.path.insert(0, str(folder))
    return importlib.import_module("coatcheck_client")


def hand_in_and_redeem(client, base):
    def module(name):
        return importlib.import_module(f"coatcheck_client.{name}")

    content = b"handed in by a client that was generated"
    digest = hashlib.md5(content).hexdigest()
    file = module("types").File(payload=io.BytesIO(content), file_name="generated.txt", mime_type="text/plain")
    form = module("models").UploadForm(file=file, md5=digest)
    with client.Client(base_url=base, timeout=httpx.Timeout(100)) as connection:
        accepted = module("api.md5.post_md_5").sync(client=connection, body=form, idempotency_key="generated-1")
        done = module("api.md5.get_md_5").sync(accepted.id, client=connection, wait=60)
        assert done.status == "succeeded", done
        assert (done.result.md5, done.result.matches) == (digest, True), done
        assert (done.input_.filename, done.input_.size) == ("generated.txt", len(content)), done

        form.file.payload = io.BytesIO(content)  # it was read to its end
        again = module("api.md5.post_md_5").sync_detailed(
            client=connection, body=form, idempotency_key="generated-1"
        )
        assert again.headers["Idempotency-Replayed"] == "true" and again.parsed.id == done.id, again
        found = module("api.md5.find_md_5").sync(client=connection, digest=digest.upper())
        assert done.id in [task.id for task in found.tasks], found
        succeeded = module("models").ListTasksStatusItem.SUCCEEDED
        listed = module("api.tasks.list_tasks").sync(client=connection, status=[succeeded])
        assert done.id in [task.id for task in listed.tasks], listed
        refused = module("api.tasks.cancel_task").sync(done.id, client=connection)
        assert refused.code == "task-ended", refused
        credentials = module("models").Credentials(username="ada", password="correct horse")
        registered = module("api.users.register").sync(client=connection, body=credentials)
        session = module("api.users.log_in").sync(client=connection, body=credentials)
    with client.AuthenticatedClient(base_url=base, token=session.token) as connection:
        assert module("api.users.who_am_i").sync(client=connection) == registered, registered
        path = dict(id=registered.id, right=module("models").Right.PAID)
        refused = module("api.users.grant_right").sync(**path, client=connection)
        assert refused.code == "forbidden", refused


main(*sys.argv[1:])
