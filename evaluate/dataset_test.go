package evaluate

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

func TestRealDatasets(t *testing.T) {
	for _, c := range []struct {
		dir                         string
		queries, judged, docs, rows int
	}{
		{"data/scifact", 300, 300, 5183, 339},
		{"data/nfcorpus", 323, 323, 3633, 12334},
		{"data/cmrc2018-chunks-zh", 3216, 3216, 4389, 3251},
	} {
		d, err := OpenDataset(shared(t, c.dir), "test")
		if err != nil {
			t.Fatal(err)
		}
		docs, rows := 0, 0
		for doc, err := range d.Documents {
			if err != nil {
				t.Fatal(err)
			}
			if doc.ID == "" {
				t.Errorf("%s: document without id", c.dir)
			}
			docs++
		}
		for _, judgments := range d.Qrels {
			rows += len(judgments)
		}
		if d.Layout != "beir" || len(d.Queries) != c.queries || len(d.Qrels) != c.judged || docs != c.docs || rows != c.rows {
			t.Errorf("%s: layout %s, %d queries, %d judged, %d documents, %d judgments; want beir, %d, %d, %d, %d",
				c.dir, d.Layout, len(d.Queries), len(d.Qrels), docs, rows, c.queries, c.judged, c.docs, c.rows)
		}
	}
}

// smallDataset is one set of two documents, two judged queries and one that is not, in
// every layout. Texts with quotes show that TSV knows no quoting.
var smallDatasets = map[string]map[string]string{
	"beir": {
		"corpus.jsonl":    "\ufeff" + `{"_id": "1", "title": null, "text": "\"one\" said", "metadata": {"x": 1}}` + "\r\n\n" + `{"_id": 2, "title": "Two", "text": "second"}`,
		"queries.jsonl":   `{"_id": "a", "text": "first?"}` + "\n" + `{"_id": "c", "text": "unjudged"}` + "\n" + `{"_id": "b", "text": "second?"}` + "\n",
		"qrels/test.tsv":  "query-id\tcorpus-id\tscore\na\t1\t1\nb\t2\t2\n",
		"qrels/train.tsv": "query-id\tcorpus-id\tscore\nc\t1\t1\n",
	},
	"msmarco": {
		"collection.tsv":       "1\t\"one\" said\n2\tTwo\tsecond\n",
		"queries.test.tsv":     "a\tfirst?\nc\tunjudged\nb\tsecond?\n",
		"qrels.test.small.tsv": "a\t0\t1\t1\nb 0 2 2\n",
		"qrels.test.tsv":       "c\t0\t1\t1\n",
		"queries.dev.tsv":      "",
	},
	"t2ranking": {
		"collection.tsv":           "pid\tpassage\n1\t\"one\" said\n2\tTwo second\n",
		"queries.test.tsv":         "qid\tquery\na\tfirst?\nc\tunjudged\nb\tsecond?\n",
		"qrels.test.tsv":           "qid\t-\tpid\trel\na\t0\t1\t1\nb\t0\t2\t2\n",
		"qrels.retrieval.test.tsv": "qid\tpid\nc\t1\n",
	},
	"hub": {
		"README.md":         "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: test\n    path: judged/test.jsonl\n- config_name: corpus\n  data_files:\n  - split: corpus\n    path: [docs/*.jsonl]\n- config_name: queries\n  data_files:\n  - split: queries\n    path: q.jsonl\n---\n# x\n",
		"judged/test.jsonl": `{"query-id": "a", "corpus-id": "1", "score": 1.0}` + "\n" + `{"query-id": "b", "corpus-id": "2", "score": 2}`,
		"docs/1.jsonl":      `{"_id": "1", "title": "", "text": "\"one\" said"}`,
		"docs/2.jsonl":      `{"_id": "2", "title": "Two", "text": "second"}`,
		"q.jsonl":           `{"_id": "a", "text": "first?"}` + "\n" + `{"_id": "b", "text": "second?"}` + "\n",
	},
}

// checkSmall checks that a folder holds the small set.
func checkSmall(t *testing.T, layout, dir string) {
	t.Helper()
	d, err := OpenDataset(dir, "test")
	if err != nil {
		t.Errorf("%s: %v", layout, err)
		return
	}
	var got []string
	for doc, err := range d.Documents {
		if err != nil {
			t.Error(err)
			break
		}
		got = append(got, doc.ID+"="+doc.EncoderText())
	}
	for _, q := range d.Queries {
		got = append(got, q.ID+"="+q.Text+fmt.Sprint(d.Qrels[q.ID]))
	}
	want := `1="one" said|2=Two second|a=first?map[1:1]|b=second?map[2:2]`
	if s := strings.Join(got, "|"); s != want || d.Layout != strings.TrimSuffix(layout, ".gz") {
		t.Errorf("%s: opened as %s: got %s, want %s", layout, d.Layout, s, want)
	}
}

func TestLayouts(t *testing.T) {
	for _, l := range Layouts {
		files, ok := smallDatasets[l.Name]
		if !ok {
			t.Errorf("layout %s has no small data set to test with", l.Name)
			continue
		}
		checkSmall(t, l.Name, write(t, files))
		packed := map[string]string{}
		for name, content := range files {
			if name == "README.md" || l.Name == "hub" {
				packed[name] = content
				continue
			}
			packed[name+".gz"] = gzipped(t, content)
		}
		checkSmall(t, l.Name+".gz", write(t, packed))
	}
}

func gzipped(t *testing.T, s string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

type parquetDocument struct {
	ID    string `parquet:"_id,dict,zstd"`
	Title string `parquet:"title,optional,snappy"`
	Text  string `parquet:"text"`
}

type parquetJudgment struct {
	Query    string  `parquet:"query-id"`
	Document string  `parquet:"corpus-id"`
	Score    float64 `parquet:"score"`
}

type parquetOldQuery struct {
	ID   int64  `parquet:"id"`
	Text string `parquet:"text"`
}

type parquetOldJudgment struct {
	Query    int64 `parquet:"qid"`
	Document int32 `parquet:"pid"`
	Score    int64 `parquet:"score"`
}

func parquetFile[T any](t *testing.T, dir, name string, rows []T) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := parquet.WriteFile(path, rows); err != nil {
		t.Fatal(err)
	}
}

func TestHubParquet(t *testing.T) {
	dir := t.TempDir()
	parquetFile(t, dir, "corpus/corpus-00000-of-00002.parquet", []parquetDocument{{"1", "", `"one" said`}})
	parquetFile(t, dir, "corpus/corpus-00001-of-00002.parquet", []parquetDocument{{"2", "Two", "second"}})
	parquetFile(t, dir, "queries/queries-00000-of-00001.parquet", []parquetDocument{{"a", "", "first?"}, {"c", "", "no"}, {"b", "", "second?"}})
	parquetFile(t, dir, "data/test-00000-of-00001.parquet", []parquetJudgment{{"a", "1", 1}, {"b", "2", 2}})
	checkSmall(t, "hub", dir)
}

// TestHubParquetBySplit reads the layout in which each configuration has the task's split, without a README that says so.
func TestHubParquetBySplit(t *testing.T) {
	dir := t.TempDir()
	parquetFile(t, dir, "corpus/test-00000-of-00001.parquet", []parquetDocument{{"1", "", `"one" said`}, {"2", "Two", "second"}})
	parquetFile(t, dir, "queries/test-00000-of-00001.parquet", []parquetDocument{{"a", "", "first?"}, {"b", "", "second?"}})
	parquetFile(t, dir, "qrels/test-00000-of-00001.parquet", []parquetJudgment{{"a", "1", 1}, {"b", "2", 2}})
	checkSmall(t, "hub", dir)
}

// TestHubOldParquet reads C-MTEB's first layout: numeric ids, judgments in a sibling folder.
func TestHubOldParquet(t *testing.T) {
	parent := t.TempDir()
	parquetFile(t, parent, "Du/data/corpus-00000-of-00001-ab12.parquet", []parquetOldQuery{{7, "seven"}, {8, "eight"}})
	parquetFile(t, parent, "Du/data/queries-00000-of-00001-cd34.parquet", []parquetOldQuery{{1, "?"}})
	parquetFile(t, parent, "Du-qrels/data/dev-00000-of-00001.parquet", []parquetOldJudgment{{1, 8, 1}})
	d, err := OpenDataset(filepath.Join(parent, "Du"), "dev")
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Queries) != 1 || d.Queries[0].ID != "1" || d.Qrels["1"]["8"] != 1 {
		t.Errorf("got %+v %v", d.Queries, d.Qrels)
	}
}

func TestInstructionsFollowTheQuery(t *testing.T) {
	files := map[string]string{}
	for name, content := range smallDatasets["hub"] {
		files[name] = content
	}
	files["instruction/instruction.jsonl"] = `{"query-id": "a", "instruction": "in short"}`
	d, err := OpenDataset(write(t, files), "test")
	if err != nil {
		t.Fatal(err)
	}
	if d.Queries[0].Text != "first? in short" || d.Queries[1].Text != "second?" {
		t.Errorf("got %+v", d.Queries)
	}
}

func TestRecordColumnsAreTheJSONKeys(t *testing.T) {
	for key, column := range recordColumns {
		path := filepath.Join(write(t, map[string]string{"r.jsonl": fmt.Sprintf(`{"%s": "x"}`, key)}), "r.jsonl")
		for r, err := range readJSONLines(path) {
			if err != nil || column(&r).value != "x" {
				t.Errorf("column %q: JSON Lines and Parquet differ: %v", key, err)
			}
		}
	}
}

// TestBEIROddities opens what is legal but seldom: judgments in TREC's form, other fields under names that are known elsewhere.
func TestBEIROddities(t *testing.T) {
	for _, change := range []map[string]string{
		{"qrels/test.tsv": "a\t0\t1\t1\nb\t0\t2\t2\n"},
		{"qrels/test.tsv": "a Q0 1 1\r\nb Q0 2 2\r\n"},
		{"qrels/test.tsv": "a\t1\t1.0\nb\t2\t2\n\n"},
		{"corpus.jsonl": `{"_id": "1", "id": {"n": 1}, "text": "\"one\" said", "score": [1]}` + "\n" + `{"_id": 2, "title": "Two", "text": "second", "pid": true}`},
	} {
		files := maps.Clone(smallDatasets["beir"])
		maps.Copy(files, change)
		checkSmall(t, "beir", write(t, files))
	}
}

func TestDatasetErrors(t *testing.T) {
	for _, c := range []struct{ file, content, want string }{
		{"corpus.jsonl", `{"_id": "1", "text": "a"}` + "\n" + `{"_id": "2", "te`, "corpus.jsonl:2: not a JSON object"},
		{"corpus.jsonl", `{"_id": "a\tb", "text": "a"}`, `corpus.jsonl:1: id "a\tb" holds a tab`},
		{"corpus.jsonl", `{"text": "a"}`, "corpus.jsonl:1: no _id"},
		{"corpus.jsonl", `{"_id": "1", "text": ["a"]}`, `corpus.jsonl:1: not a JSON object of a document or query: ["a"] where a string`},
		{"corpus.jsonl", `{"_id": {}, "id": 1, "text": "a"}`, `corpus.jsonl:1: not a JSON object of a document or query: {} where a string`},
		{"corpus.jsonl", `{"_id": "1", "contents": "a"}` + "\n" + `{"_id": "2", "contents": "b"}`, `corpus.jsonl: no document has a text (text, title)`},
		{"queries.jsonl", `{"_id": "a", "query": "a"}` + "\n" + `{"_id": "b", "query": "b"}`, `queries.jsonl: no query has a text (text)`},
		{"queries.jsonl", `{"_id": "a", "text": ""}` + "\n" + `{"_id": "a", "text": ""}`, `queries.jsonl:2: query id "a" stands twice, first at line 1`},
		{"queries.jsonl", `{"_id": "a", "text": ""}`, `test.tsv:3: judged query "b" is not among the queries (1 such`},
		{"qrels/test.tsv", "query-id\tcorpus-id\tscore\na\t1\n", "test.tsv:2: 2 fields"},
		{"qrels/test.tsv", "query-id\tcorpus-id\tscore\na\t1\thigh\n", `test.tsv:2: judgment "high"`},
		{"qrels/test.tsv", "query-id\tcorpus-id\tscore\na\t1\t1\na\t1\t2\n", `test.tsv:3: document "1" is judged twice`},
		{"qrels/test.tsv", "query-id\tcorpus-id\tscore\n", "no judgments"},
	} {
		files := map[string]string{}
		for name, content := range smallDatasets["beir"] {
			files[name] = content
		}
		files[c.file] = c.content
		err := readAll(write(t, files), "test")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.file, err, c.want)
		}
	}
}

// readAll opens a data set and reads its corpus.
func readAll(dir, split string) error {
	d, err := OpenDataset(dir, split)
	if err != nil {
		return err
	}
	for _, err := range d.Documents {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestUnknownFolderAndSplit(t *testing.T) {
	if _, err := OpenDataset(t.TempDir(), "test"); !errors.Is(err, ErrNoDataset) {
		t.Errorf("an empty folder: %v", err)
	}
	if _, err := OpenDataset(filepath.Join(t.TempDir(), "absent"), "test"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	_, err := OpenDataset(write(t, smallDatasets["beir"]), "dev")
	if err == nil || !strings.Contains(err.Error(), `no split "dev"; it has test, train`) {
		t.Errorf("an unknown split: %v", err)
	}
}

func TestTruncatedFiles(t *testing.T) {
	files := map[string]string{}
	for name, content := range smallDatasets["beir"] {
		files[name] = content
	}
	packed := gzipped(t, files["corpus.jsonl"])
	delete(files, "corpus.jsonl")
	files["corpus.jsonl.gz"] = packed[:len(packed)-12]
	if err := readAll(write(t, files), "test"); err == nil || !strings.Contains(err.Error(), "corpus.jsonl.gz:") {
		t.Errorf("truncated gzip: %v", err)
	}
	dir := t.TempDir()
	parquetFile(t, dir, "x.parquet", []parquetDocument{{"1", "", "text"}, {"2", "", "more"}})
	whole, err := os.ReadFile(filepath.Join(dir, "x.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	for cut := 0; cut < len(whole); cut += 5 {
		path := filepath.Join(dir, "cut.parquet")
		damaged := append([]byte(nil), whole...)
		damaged[cut] ^= 0x55
		if err := os.WriteFile(path, damaged, 0o644); err != nil {
			t.Fatal(err)
		}
		for range readParquet(path) { // an error or a wrong text, never a panic
		}
		if err := os.WriteFile(path, whole[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		failed := false
		for _, err := range readParquet(path) {
			failed = failed || err != nil
		}
		if !failed {
			t.Errorf("a file cut at byte %d was read as a whole", cut)
		}
	}
}

func FuzzReadJSONLines(f *testing.F) {
	f.Add([]byte(`{"_id": "1", "text": "a"}` + "\n{}\n"))
	f.Add([]byte("\ufeff\n{\"_id\": 3}\r\n[1]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "x.jsonl")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		lines := bytes.Count(data, []byte("\n")) + 1
		for d, err := range documents(readJSONLines(path)) {
			if err == nil && (d.ID == "" || d.line > lines) {
				t.Errorf("document %+v of %d lines", d, lines)
			}
		}
	})
}

func FuzzReadJudgments(f *testing.F) {
	f.Add([]byte("query-id\tcorpus-id\tscore\na\tb\t1\n"))
	f.Add([]byte("a b 1\na\tb\t-2.0"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "x.tsv")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		j, err := readBEIRQrels(path)
		if err == nil && len(j.order) != len(j.qrels) {
			t.Errorf("%d queries in order, %d in the judgments", len(j.order), len(j.qrels))
		}
	})
}
