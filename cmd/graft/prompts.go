package main

import "graft/evaluate"

// prompts are those that flags gave, by the keys of a model's prompts.
func prompts(query, document *string) map[string]string {
	given := map[string]string{}
	for role, p := range map[evaluate.Role]*string{evaluate.QueryRole: query, evaluate.DocumentRole: document} {
		if p != nil {
			given[string(role)] = *p
		}
	}
	return given
}
