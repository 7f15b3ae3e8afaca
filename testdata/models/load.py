"""Load model directories with the libraries that are to load them, and print their vectors of some texts.

Standard input: JSON, {"texts": [...], "jobs": [[directory, backend], ...]}. Standard output: a JSON list, for each
job a list of vectors, or a string that says what went wrong.
A backend is torch or onnx, through sentence-transformers, or optimum: last_hidden_state through optimum's own class.
"""
import json
import sys
import traceback


def through_optimum(directory, texts):
    from optimum.onnxruntime import ORTModelForFeatureExtraction
    from transformers import AutoTokenizer

    model = ORTModelForFeatureExtraction.from_pretrained(directory, subfolder="onnx", file_name="model.onnx")
    tokenizer = AutoTokenizer.from_pretrained(directory)
    encoded = [tokenizer(text, return_tensors="pt", truncation=True, max_length=24) for text in texts]
    return [model(**e).last_hidden_state[0].flatten().tolist() for e in encoded]


def through_sentence_transformers(directory, backend, texts):
    from sentence_transformers import SentenceTransformer

    # Checkpoints in half precision are computed in float32 here too.
    kwargs = {"provider": "CPUExecutionProvider"} if backend == "onnx" else {"dtype": "float32"}
    model = SentenceTransformer(directory, backend=backend, device="cpu", model_kwargs=kwargs)
    return model.encode(texts, batch_size=1, show_progress_bar=False).tolist()


def run(directory, backend, texts):
    try:
        if backend == "optimum":
            return through_optimum(directory, texts)
        return through_sentence_transformers(directory, backend, texts)
    except Exception:
        return traceback.format_exc()


task = json.load(sys.stdin)
print(json.dumps([run(directory, backend, task["texts"]) for directory, backend in task["jobs"]]))
