"""Load what was saved with transformers, PEFT and sentence-transformers, and print what they compute.

Standard input: a JSON list of jobs. Standard output: a JSON list of results, or strings that say what went wrong.
  {"kind": "transformers", "dir": d, "input_ids": ..., "attention_mask": ...}   the class that config.json names
  {"kind": "peft", "dir": adapter, "base": d, "input_ids": ..., "attention_mask": ...}   an adapter on AutoModel
  {"kind": "sentence-transformers", "dir": d, "texts": [...]}
The first two give the hidden states, flattened, and the names of tensors that did not match.
"""
import json
import sys
import traceback
import warnings

import torch


def hidden(model, job):
    with torch.no_grad():
        out = model.eval()(input_ids=torch.tensor(job["input_ids"]), attention_mask=torch.tensor(job["attention_mask"]))
    return out.last_hidden_state.flatten().tolist()


def through_transformers(job):
    import transformers

    config = transformers.AutoConfig.from_pretrained(job["dir"])
    cls = getattr(transformers, config.architectures[0])
    model, info = cls.from_pretrained(job["dir"], output_loading_info=True)
    odd = [str(n) for key in ("missing_keys", "unexpected_keys", "mismatched_keys") for n in info[key]]
    odd += [n for n, p in model.named_parameters() if p.dtype != torch.float32]
    return {"hidden": hidden(model.base_model, job), "odd": odd}


def through_peft(job):
    from peft import PeftModel
    from transformers import AutoModel

    base = AutoModel.from_pretrained(job["base"], dtype="float32")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = PeftModel.from_pretrained(base, job["dir"])
    odd = [str(w.message) for w in caught if "key" in str(w.message)]
    return {"hidden": hidden(model, job), "odd": odd, "adapted": sorted(n for n, m in model.named_modules() if hasattr(m, "lora_A"))}


def through_sentence_transformers(job):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(job["dir"], device="cpu", model_kwargs={"dtype": "float32"})
    return {"vectors": model.encode(job["texts"], batch_size=1, show_progress_bar=False).tolist()}


KINDS = {"transformers": through_transformers, "peft": through_peft, "sentence-transformers": through_sentence_transformers}


def run(job):
    try:
        return KINDS[job["kind"]](job)
    except Exception:
        return {"error": traceback.format_exc()}


print(json.dumps([run(job) for job in json.load(sys.stdin)]))
