package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"graft/evaluate"
)

// TestDataFromTheHub: a task's data set is fetched once, written in the BEIR layout, and the same
// without the network from the cache.
func TestDataFromTheHub(t *testing.T) {
	task, _ := evaluate.FindTask("SciFact")
	files := map[string]string{
		"README.md":        "no front matter\n",
		"corpus.jsonl":     `{"_id":"d1","title":"A","text":"one"}` + "\n" + `{"_id":"d2","title":"","text":"two <b>"}` + "\n",
		"queries.jsonl":    `{"_id":"q1","text":"which?"}` + "\n" + `{"_id":"q2","text":"of train"}` + "\n",
		"qrels/test.jsonl": `{"query-id":"q1","corpus-id":"d2","score":2}` + "\n" + `{"query-id":"q1","corpus-id":"d1","score":0}` + "\n",
		"script.py":        "not data\n",
	}
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.Path)
		if r.Header.Get("Authorization") != "Bearer secret" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		if r.URL.Path == "/api/datasets/mteb/scifact/revision/"+task.Revision {
			var siblings []map[string]string
			for name := range files {
				siblings = append(siblings, map[string]string{"rfilename": name})
			}
			json.NewEncoder(w).Encode(map[string]any{"sha": task.Revision, "siblings": siblings})
			return
		}
		name := strings.TrimPrefix(r.URL.Path, "/datasets/mteb/scifact/resolve/"+task.Revision+"/")
		content, ok := files[name]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("ETag", `"etag-of-`+strings.NewReplacer("/", "-", ".", "-").Replace(name)+`"`)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
	}))
	defer server.Close()
	dir := t.TempDir()
	for key, value := range map[string]string{"HF_ENDPOINT": server.URL, "HF_TOKEN": "secret", "HF_HUB_CACHE": filepath.Join(dir, "hub"), "HF_HUB_OFFLINE": ""} {
		t.Setenv(key, value)
	}
	out := filepath.Join(dir, "scifact")
	var stdout bytes.Buffer
	if err := data(context.Background(), "mteb/scifact", dataOptions{out: out}, &stdout); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(strings.Fields(strings.ReplaceAll(stdout.String(), out, "")), " "); got != "2 documents 1 queries 2 judgments" {
		t.Errorf("printed %q", got)
	}
	for name, want := range map[string]string{
		"corpus.jsonl":   files["corpus.jsonl"],
		"queries.jsonl":  `{"_id":"q1","text":"which?"}` + "\n",
		"qrels/test.tsv": "query-id\tcorpus-id\tscore\nq1\td1\t0\nq1\td2\t2\n",
	} {
		if got, err := os.ReadFile(filepath.Join(out, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
	if readme, _ := os.ReadFile(filepath.Join(out, "README.md")); !strings.Contains(string(readme), task.Revision) {
		t.Errorf("README.md: %s", readme)
	}
	if all := strings.Join(asked, "\n"); strings.Contains(all, "script.py") {
		t.Errorf("asked for more than data:\n%s", all)
	}
	if err := data(context.Background(), "mteb/SciFact", dataOptions{out: out}, &stdout); !errors.Is(err, fs.ErrExist) {
		t.Errorf("an existing folder: %v", err)
	}
	t.Setenv("HF_HUB_OFFLINE", "1")
	before := len(asked)
	if err := data(context.Background(), "mteb/SciFact", dataOptions{out: out, overwrite: true}, &stdout); err != nil || len(asked) != before {
		t.Errorf("offline: %v, %d requests", err, len(asked)-before)
	}
	if err := data(context.Background(), "mteb/nfcorpus", dataOptions{out: out + "2"}, &stdout); err == nil || !strings.Contains(err.Error(), "HF_HUB_OFFLINE") {
		t.Errorf("offline and not in the cache: %v", err)
	}
	for name, want := range map[string]string{"mteb/nope": "no task", "mteb/CQADupstackRetrieval": "CQADupstackAndroidRetrieval, "} {
		if err := data(context.Background(), name, dataOptions{out: out + "3"}, &stdout); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}
