package evaluate

// Prompt chooses a model's prompt for a task as mteb does for sentence-transformers models
// (mteb/models/abs_encoder.py, get_prompt_name): by task and role, by task, by type of
// task and role, by type, by role; "passage", the older name, counts for documents. It
// returns "" where the model has none of these.
func Prompt(prompts map[string]string, task string, role Role) string {
	for _, name := range []string{
		task + "-" + string(role), task, "Retrieval-" + string(role), "Retrieval", string(role),
	} {
		if p, ok := prompts[name]; ok {
			return p
		}
	}
	if role == DocumentRole {
		return prompts["passage"]
	}
	return ""
}
