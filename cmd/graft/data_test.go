package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
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
	asked := hubServer(t, map[string]map[string]string{"mteb/scifact": files}, task.Revision)
	dir := t.TempDir()
	out := filepath.Join(dir, "scifact")
	var stdout bytes.Buffer
	if err := data(context.Background(), "mteb/scifact", dataOptions{out: out}, &stdout, io.Discard); err != nil {
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
	if all := strings.Join(*asked, "\n"); strings.Contains(all, "script.py") {
		t.Errorf("asked for more than data:\n%s", all)
	}
	if err := data(context.Background(), "mteb/SciFact", dataOptions{out: out}, &stdout, io.Discard); !errors.Is(err, fs.ErrExist) {
		t.Errorf("an existing folder: %v", err)
	}
	t.Setenv("HF_HUB_OFFLINE", "1")
	before := len(*asked)
	if err := data(context.Background(), "mteb/SciFact", dataOptions{out: out, overwrite: true}, &stdout, io.Discard); err != nil || len(*asked) != before {
		t.Errorf("offline: %v, %d requests", err, len(*asked)-before)
	}
	if err := data(context.Background(), "mteb/nfcorpus", dataOptions{out: out + "2"}, &stdout, io.Discard); err == nil || !strings.Contains(err.Error(), "HF_HUB_OFFLINE") {
		t.Errorf("offline and not in the cache: %v", err)
	}
	for name, want := range map[string]string{"mteb/nope": "no task", "mteb/CQADupstackRetrieval": "CQADupstackAndroidRetrieval, "} {
		if err := data(context.Background(), name, dataOptions{out: out + "3"}, &stdout, io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

// hubServer is the hub, for this test, with data sets of these files at one commit. It returns what it is asked for.
func hubServer(t *testing.T, repos map[string]map[string]string, commit string) *[]string {
	asked := new([]string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.Method+" "+r.URL.Path)
		if r.Header.Get("Authorization") != "Bearer secret" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		for repo, files := range repos {
			if strings.HasPrefix(r.URL.Path, "/api/datasets/"+repo+"/revision/") {
				var siblings []map[string]string
				for name := range files {
					siblings = append(siblings, map[string]string{"rfilename": name})
				}
				json.NewEncoder(w).Encode(map[string]any{"sha": commit, "siblings": siblings})
				return
			}
			name, ok := strings.CutPrefix(r.URL.Path, "/datasets/"+repo+"/resolve/"+commit+"/")
			if content, there := files[name]; ok && there {
				w.Header().Set("ETag", `"etag-of-`+strings.NewReplacer("/", "-", ".", "-").Replace(name)+`"`)
				http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
				return
			}
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(server.Close)
	for key, value := range map[string]string{"HF_ENDPOINT": server.URL, "HF_TOKEN": "secret", "HF_HUB_CACHE": filepath.Join(t.TempDir(), "hub"), "HF_HUB_OFFLINE": ""} {
		t.Setenv(key, value)
	}
	return asked
}

const dataCommit = "0123456789abcdef0123456789abcdef01234567"

// TestDataSets: each set of the reference, from files in the form and under the names that its repository has them.
func TestDataSets(t *testing.T) {
	var titled bytes.Buffer
	z := gzip.NewWriter(&titled)
	io.WriteString(z, `{"docid": "0", "title": "A title", "text": "one"}`+"\n"+`{"docid": "7", "title": "-", "text": "seven"}`+"\n")
	z.Close()
	repos := map[string]map[string]string{
		"THUIR/T2Ranking": {
			"data/collection.tsv":  "pid\ttext\n0\tone \"quoted\n5\t\n9\tnine\n",
			"data/queries.dev.tsv": "qid\ttext\n3\twhich?\n4\tunjudged\n",
			"data/qrels.dev.tsv":   "qid\t-\tpid\trel\n3\t0\t0\t3\n3\t0\t9\t0\n",
			"data/train.mined.tsv": "never asked for",
		},
		"mteb/msmarco": {
			"corpus.jsonl": `{"_id":"0","title":"","text":"one"}` + "\n", "queries.jsonl": `{"_id":"q","text":"which?"}` + "\n",
			"qrels/dev.jsonl": `{"query-id":"q","corpus-id":"7","score":1}` + "\n",
		},
		"Tevatron/msmarco-passage-corpus": {"corpus.jsonl.gz": titled.String()},
		"unicamp-dl/mmarco": {
			"data/google/collections/chinese_collection.tsv":      "8\t八 \n2\t二\r\n3\t三",
			"data/google/queries/train/chinese_queries.train.tsv": "20\t问题\n21\t又\n",
			"data/triples.train.ids.small.tsv":                    "20\t8\t2\n21\t2\t3\n20\t3\t8\n",
		},
	}
	asked := hubServer(t, repos, dataCommit)
	rows := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"query": "问", "pos": ["答"], "neg": ["a", "b"]}`+"\n\n"+`{"query": "q", "pos": ["p"], "neg": []}`+"\n")
	}))
	defer rows.Close()
	dureaderAddress = rows.URL + "/dureader_dual.train.jsonl"
	for _, test := range []struct {
		name, printed string
		rows          int
		files         map[string]string
	}{
		{"t2ranking", "3 documents 1 queries 2 judgments", 0, map[string]string{
			"corpus.jsonl":  `{"_id":"0","title":"","text":"one \"quoted"}` + "\n" + `{"_id":"5","title":"","text":"NA"}` + "\n" + `{"_id":"9","title":"","text":"nine"}` + "\n",
			"qrels/dev.tsv": "query-id\tcorpus-id\tscore\n3\t0\t3\n3\t9\t0\n", "queries.jsonl": `{"_id":"3","text":"which?"}` + "\n"}},
		{"msmarco-title", "2 documents 1 queries 1 judgments", 0, map[string]string{
			"corpus.jsonl":  `{"_id":"0","title":"A title","text":"one"}` + "\n" + `{"_id":"7","title":"-","text":"seven"}` + "\n",
			"qrels/dev.tsv": "query-id\tcorpus-id\tscore\nq\t7\t1\n"}},
		{"mmarco", "3 rows", 0, map[string]string{"train.jsonl": `{"query":"问题","pos":["八"],"neg":["二"]}` + "\n" +
			`{"query":"又","pos":["二"],"neg":["三"]}` + "\n" + `{"query":"问题","pos":["三"],"neg":["八"]}` + "\n"}},
		{"mmarco", "1 rows", 1, map[string]string{"train.jsonl": `{"query":"问题","pos":["八"],"neg":["二"]}` + "\n"}},
		{"dureader", "2 rows", 0, map[string]string{"train.jsonl": `{"query":"问","pos":["答"],"neg":["a","b"]}` + "\n" + `{"query":"q","pos":["p"],"neg":[]}` + "\n"}},
	} {
		out := filepath.Join(t.TempDir(), "out")
		var stdout bytes.Buffer
		if err := data(context.Background(), test.name, dataOptions{out: out, rows: test.rows}, &stdout, io.Discard); err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if got := strings.Join(strings.Fields(strings.ReplaceAll(stdout.String(), out, "")), " "); got != test.printed {
			t.Errorf("%s printed %q, want %q", test.name, got, test.printed)
		}
		for name, want := range test.files {
			if got, err := os.ReadFile(filepath.Join(out, name)); err != nil || string(got) != want {
				t.Errorf("%s: %s: %q, %v, want %q", test.name, name, got, err, want)
			}
		}
		if readme, _ := os.ReadFile(filepath.Join(out, "README.md")); test.name != "dureader" && !strings.Contains(string(readme), dataCommit) {
			t.Errorf("%s: README.md does not name the commit: %s", test.name, readme)
		}
	}
	if all := strings.Join(*asked, "\n"); strings.Contains(all, "mined") {
		t.Errorf("asked for more than the task's files:\n%s", all)
	}
}

// TestDataSetMistakes: what a source lacks or has wrong is named, and no folder is left.
func TestDataSetMistakes(t *testing.T) {
	mmarco := func(collection, queries, triples string) map[string]map[string]string {
		return map[string]map[string]string{mmarcoRepo: {mmarcoCollection: collection, mmarcoQueries: queries, mmarcoTriples: triples}}
	}
	for _, test := range []struct {
		name, want string
		repos      map[string]map[string]string
		rows       int
	}{
		{"t2ranking", "no file data/collection.tsv", map[string]map[string]string{t2RankingRepo: {"README.md": ""}}, 0},
		{"t2ranking", "--rows is for training rows", map[string]map[string]string{t2RankingRepo: {
			"data/collection.tsv": "pid\ttext\n0\tone\n", "data/queries.dev.tsv": "qid\ttext\n3\tq\n", "data/qrels.dev.tsv": "qid\tpid\n3\t0\n"}}, 5},
		{"mmarco", `small.tsv:2: passage "9" is not in the collection`, mmarco("1\ta\n2\tb\n", "5\tq\n", "5\t1\t2\n5\t1\t9\n"), 0},
		{"mmarco", `small.tsv:1: query "6" is not among the queries`, mmarco("1\ta\n2\tb\n", "5\tq\n", "6\t1\t2\n"), 0},
		{"mmarco", `small.tsv:1: 2 fields`, mmarco("1\ta\n", "5\tq\n", "6\t1\n"), 0},
		{"mmarco", `collection.tsv:2: want a number, a tab and a passage`, mmarco("1\ta\nno passage\n", "5\tq\n", "5\t1\t1\n"), 0},
		{"mmarco", `queries.train.tsv:1: 1 fields`, mmarco("1\ta\n", "5 q\n", "5\t1\t1\n"), 0},
		{"dureader", `dureader.jsonl:2: field "pos": have a text, want a list`, nil, 0},
	} {
		hubServer(t, test.repos, dataCommit)
		rows := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, `{"query": "q", "pos": ["p"]}`+"\n"+`{"query": "q", "pos": "p"}`+"\n")
		}))
		dureaderAddress = rows.URL + "/dureader.jsonl"
		out := filepath.Join(t.TempDir(), "out")
		err := data(context.Background(), test.name, dataOptions{out: out, rows: test.rows}, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
		if fileExists(out) {
			t.Errorf("%s: a folder was left after %v", test.name, err)
		}
		rows.Close()
	}
}
