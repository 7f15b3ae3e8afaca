package evaluate

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Task is one benchmark: where its data is, and how it is scored.
type Task struct {
	Name      string
	Hub       string // data set on the Hugging Face hub
	Revision  string // its commit
	OldHub    string // the repository before mteb 2.0, "" where it is the same
	OldCommit string // its commit then, "" where it is the same
	Split     string
	Language  string // mteb's code: "eng-Latn"
	// IgnoreIdenticalIDs drops a retrieved document whose id is the query's. Where both
	// kinds of id are numbers of their own (MSMARCO, FiQA2018, T2Retrieval) this drops
	// unrelated documents, and is kept because published figures were made so.
	IgnoreIdenticalIDs bool
	// Instruction is mteb's prompt for models that take one per task.
	Instruction string
	// Queries (judged ones) and Documents are how many the data set has in that split, by mteb's descriptive statistics.
	Queries, Documents int
	// Parts are the tasks whose main scores are averaged; such a task has no data.
	Parts []string
}

// MainScore is the key that every retrieval task is ranked by.
const MainScore = "ndcg_at_10"

const (
	english = "eng-Latn"
	chinese = "cmn-Hans"
)

// Tasks lists the known tasks (mteb/tasks/retrieval/{eng,zho}). Any other name is a task
// too, if a folder of data in a known layout goes with it.
var Tasks = []Task{
	{Name: "ArguAna", Queries: 1406, Documents: 8674, Hub: "mteb/arguana", Revision: "c22ab2a51041ffd869aaddef7af8d8215647e41a", Split: "test", Language: english, IgnoreIdenticalIDs: true,
		Instruction: "Given a claim, find documents that refute the claim"},
	{Name: "ClimateFEVER", Queries: 1535, Documents: 5416593, Hub: "mteb/climate-fever", Revision: "47f2ac6acb640fc46020b02a5b59fdda04d39380", Split: "test", Language: english,
		Instruction: "Given a claim about climate change, retrieve documents that support or refute the claim"},
	{Name: "DBPedia", Queries: 400, Documents: 4635922, Hub: "mteb/dbpedia", Revision: "c0f706b76e590d620bd6618b3ca8efdd34e2d659", Split: "test", Language: english,
		Instruction: "Given a query, retrieve relevant entity descriptions from DBPedia"},
	{Name: "FEVER", Queries: 6666, Documents: 5416568, Hub: "mteb/fever", Revision: "bea83ef9e8fb933d90a2f1d5515737465d613e12", Split: "test", Language: english, IgnoreIdenticalIDs: true,
		Instruction: "Given a claim, retrieve documents that support or refute the claim"},
	{Name: "FiQA2018", Queries: 648, Documents: 57638, Hub: "mteb/fiqa", Revision: "27a168819829fe9bcd655c2df245fb19452e8e06", Split: "test", Language: english, IgnoreIdenticalIDs: true,
		Instruction: "Given a financial question, retrieve user replies that best answer the question"},
	{Name: "HotpotQA", Queries: 7405, Documents: 5233329, Hub: "mteb/hotpotqa", Revision: "ab518f4d6fcca38d87c25209f94beba119d02014", Split: "test", Language: english,
		Instruction: "Given a multi-hop question, retrieve documents that can help answer the question"},
	{Name: "MSMARCO", Queries: 6980, Documents: 8841823, Hub: "mteb/msmarco", Revision: "c5a29a104738b98a9e76336939199e264163d4a0", Split: "dev", Language: english, IgnoreIdenticalIDs: true,
		Instruction: "Given a web search query, retrieve relevant passages that answer the query"},
	{Name: "NFCorpus", Queries: 323, Documents: 3633, Hub: "mteb/nfcorpus", Revision: "ec0fa4fe99da2ff19ca1214b7966684033a58814", Split: "test", Language: english,
		Instruction: "Given a question, retrieve relevant documents that best answer the question"},
	{Name: "NQ", Queries: 3452, Documents: 2681468, Hub: "mteb/nq", Revision: "b774495ed302d8c44a3a7ea25c90dbce03968f31", Split: "test", Language: english,
		Instruction: "Given a question, retrieve Wikipedia passages that answer the question"},
	{Name: "QuoraRetrieval", Queries: 10000, Documents: 522931, Hub: "mteb/quora", Revision: "e4e08e0b7dbe3c8700f0daef558ff32256715259", Split: "test", Language: english, IgnoreIdenticalIDs: true,
		Instruction: "Given a question, retrieve questions that are semantically equivalent to the given question"},
	{Name: "SCIDOCS", Queries: 1000, Documents: 25657, Hub: "mteb/scidocs", Revision: "f8c2fcf00f625baaa80f62ec5bd9e1fff3b8ae88", Split: "test", Language: english,
		Instruction: "Given a scientific paper title, retrieve paper abstracts that are cited by the given paper"},
	{Name: "SciFact", Queries: 300, Documents: 5183, Hub: "mteb/scifact", Revision: "d56462d0e63a25450459c4f213e49ffdb866f7f9", OldCommit: "0228b52cf27578f30900b9e5271d331663a030d7", Split: "test", Language: english,
		Instruction: "Given a scientific claim, retrieve documents that support or refute the claim"},
	{Name: "Touche2020", Queries: 49, Documents: 382545, Hub: "mteb/touche2020", Revision: "a34f9a33db75fa0cbb21bb5cfc3dae8dc8bec93f", Split: "test", Language: english,
		Instruction: "Given a question, retrieve detailed and persuasive arguments that answer the question"},
	{Name: "Touche2020Retrieval.v3", Queries: 49, Documents: 303732, Hub: "mteb/webis-touche2020-v3", Revision: "431886eaecc48f067a3975b70d0949ea2862463c", Split: "test", Language: english,
		Instruction: "Given a question, retrieve detailed and persuasive arguments that answer the question"},
	{Name: "TRECCOVID", Queries: 50, Documents: 171332, Hub: "mteb/trec-covid", Revision: "bb9466bac8153a0349341eb1b22e06409e78ef4e", Split: "test", Language: english,
		Instruction: "Given a query on COVID-19, retrieve documents that answer the query"},

	{Name: "CQADupstackRetrieval", Queries: 13145, Documents: 457199, Revision: "1", Split: "test", Language: english, Parts: []string{
		"CQADupstackAndroidRetrieval", "CQADupstackEnglishRetrieval", "CQADupstackGamingRetrieval", "CQADupstackGisRetrieval",
		"CQADupstackMathematicaRetrieval", "CQADupstackPhysicsRetrieval", "CQADupstackProgrammersRetrieval", "CQADupstackStatsRetrieval",
		"CQADupstackTexRetrieval", "CQADupstackUnixRetrieval", "CQADupstackWebmastersRetrieval", "CQADupstackWordpressRetrieval"}},
	{Name: "CQADupstackAndroidRetrieval", Queries: 699, Documents: 22998, Hub: "mteb/CQADupstackAndroidRetrieval", Revision: "9be4c0e46342e8e3aff577a89b9a1ec9bc6b4af3",
		OldHub: "mteb/cqadupstack-android", OldCommit: "f46a197baaae43b4f621051089b82a364682dfeb", Split: "test", Language: english},
	{Name: "CQADupstackEnglishRetrieval", Queries: 1570, Documents: 40221, Hub: "mteb/cqadupstack-english", Revision: "ad9991cb51e31e31e430383c75ffb2885547b5f0", Split: "test", Language: english},
	{Name: "CQADupstackGamingRetrieval", Queries: 1595, Documents: 45301, Hub: "mteb/cqadupstack-gaming", Revision: "4885aa143210c98657558c04aaf3dc47cfb54340", Split: "test", Language: english},
	{Name: "CQADupstackGisRetrieval", Queries: 885, Documents: 37637, Hub: "mteb/cqadupstack-gis", Revision: "5003b3064772da1887988e05400cf3806fe491f2", Split: "test", Language: english},
	{Name: "CQADupstackMathematicaRetrieval", Queries: 804, Documents: 16705, Hub: "mteb/cqadupstack-mathematica", Revision: "90fceea13679c63fe563ded68f3b6f06e50061de", Split: "test", Language: english},
	{Name: "CQADupstackPhysicsRetrieval", Queries: 1039, Documents: 38316, Hub: "mteb/cqadupstack-physics", Revision: "79531abbd1fb92d06c6d6315a0cbbbf5bb247ea4", Split: "test", Language: english},
	{Name: "CQADupstackProgrammersRetrieval", Queries: 876, Documents: 32176, Hub: "mteb/cqadupstack-programmers", Revision: "6184bc1440d2dbc7612be22b50686b8826d22b32", Split: "test", Language: english},
	{Name: "CQADupstackStatsRetrieval", Queries: 652, Documents: 42269, Hub: "mteb/cqadupstack-stats", Revision: "65ac3a16b8e91f9cee4c9828cc7c335575432a2a", Split: "test", Language: english},
	{Name: "CQADupstackTexRetrieval", Queries: 2906, Documents: 68184, Hub: "mteb/cqadupstack-tex", Revision: "46989137a86843e03a6195de44b09deda022eec7", Split: "test", Language: english},
	{Name: "CQADupstackUnixRetrieval", Queries: 1072, Documents: 47382, Hub: "mteb/cqadupstack-unix", Revision: "6c6430d3a6d36f8d2a829195bc5dc94d7e063e53", Split: "test", Language: english},
	{Name: "CQADupstackWebmastersRetrieval", Queries: 506, Documents: 17405, Hub: "mteb/cqadupstack-webmasters", Revision: "160c094312a0e1facb97e55eeddb698c0abe3571", Split: "test", Language: english},
	{Name: "CQADupstackWordpressRetrieval", Queries: 541, Documents: 48605, Hub: "mteb/cqadupstack-wordpress", Revision: "4ffe81d471b1924886b33c7567bfb200e9eec5c4", Split: "test", Language: english},

	{Name: "DuRetrieval", Queries: 2000, Documents: 100001, Hub: "mteb/DuRetrieval", Revision: "313c81b51311893c8fd09ca432f96b841ed0ebb3",
		OldHub: "C-MTEB/DuRetrieval", OldCommit: "a1a333e290fe30b10f3f56498e3a0d911a693ced", Split: "dev", Language: chinese,
		Instruction: "Given a Chinese search query, retrieve web passages that answer the question"},
	{Name: "T2Retrieval", Queries: 22812, Documents: 118605, Hub: "mteb/T2Retrieval", Revision: "cf778c0ea4168ec5174a34d888d6453e4cde9222",
		OldHub: "C-MTEB/T2Retrieval", OldCommit: "8731a845f1bf500a4f111cf1070785c793d10e64", Split: "dev", Language: chinese, IgnoreIdenticalIDs: true,
		Instruction: "Given a Chinese search query, retrieve web passages that answer the question"},
	{Name: "MMarcoRetrieval", Queries: 6980, Documents: 106813, Hub: "mteb/MMarcoRetrieval", Revision: "4940a7b26bf53463cfe3435bb8e201963e9c31ae", Split: "dev", Language: chinese, IgnoreIdenticalIDs: true,
		Instruction: "Given a web search query, retrieve relevant passages that answer the query"},
	{Name: "CovidRetrieval", Queries: 949, Documents: 100001, Hub: "mteb/CovidRetrieval", Revision: "9c6dc4b276bb47c3ff725bbc5ffcafd56dded38b", Split: "dev", Language: chinese,
		Instruction: "Given a question on COVID-19, retrieve news articles that answer the question"},
	{Name: "CmedqaRetrieval", Queries: 3999, Documents: 100001, Hub: "mteb/CmedqaRetrieval", Revision: "c476f85bf03d6642ec66bf54b9a551c88108bbb4", Split: "dev", Language: chinese,
		Instruction: "Given a Chinese community medical question, retrieve replies that best answer the question"},
	{Name: "EcomRetrieval", Queries: 1000, Documents: 100902, Hub: "mteb/EcomRetrieval", Revision: "fa705ce5418e91636b1eaeaf43f34c15aa3f5a8a", Split: "dev", Language: chinese, IgnoreIdenticalIDs: true,
		Instruction: "Given a user query from an e-commerce website, retrieve description sentences of relevant products"},
	{Name: "MedicalRetrieval", Queries: 1000, Documents: 100999, Hub: "mteb/MedicalRetrieval", Revision: "023ae3b2c6b96f583c4ff9b3f9239c93f7885c20", Split: "dev", Language: chinese, IgnoreIdenticalIDs: true,
		Instruction: "Given a medical question, retrieve user replies that best answer the question"},
	{Name: "VideoRetrieval", Queries: 1000, Documents: 100930, Hub: "mteb/VideoRetrieval", Revision: "146a9d5e4fd7a9c182b6b92cccb6a3753994305c", Split: "dev", Language: chinese, IgnoreIdenticalIDs: true,
		Instruction: "Given a video search query, retrieve the titles of relevant videos"},
	// Not in mteb: MSMARCO's queries over passages that have titles, and the whole of T2Ranking.
	{Name: "MSMARCO-Title", Queries: 6980, Documents: 8841823, Split: "dev", Language: english,
		Instruction: "Given a web search query, retrieve relevant passages that answer the query"},
	{Name: "T2Ranking", Queries: 24832, Documents: 2303643, Hub: "THUIR/T2Ranking", Split: "dev", Language: chinese},
}

// FindTask returns the task of a name, ignoring case. A name that is not in the table is
// a task of its own: split test, English, identical ids kept.
func FindTask(name string) (task Task, known bool) {
	for _, t := range Tasks {
		if strings.EqualFold(t.Name, name) {
			return t, true
		}
	}
	return Task{Name: name, Split: "test", Language: english}, false
}

// locate finds the folder of a task's data: below dir under the task's name or that of its
// data set, dir itself where it holds a data set (alone says that there is one task
// only), then the hub's cache folder, if one is given.
func (t Task) locate(dir, hubCache string, alone bool) (string, error) {
	var tried []string
	for _, candidate := range t.folders(dir, hubCache) {
		if _, err := detectLayout(candidate); err == nil {
			return candidate, nil
		}
		tried = append(tried, candidate)
	}
	if alone && dir != "" {
		if _, err := detectLayout(dir); err != nil {
			return "", fmt.Errorf("task %q: no data in %s: %w", t.Name, strings.Join(tried, ", "), err)
		}
		return dir, nil
	}
	return "", fmt.Errorf("task %q: %w in %s", t.Name, ErrNoDataset, strings.Join(tried, ", "))
}

// folders lists where the data may lie, without dir itself.
func (t Task) folders(dir, hubCache string) []string {
	names := []string{t.Name, strings.ToLower(t.Name)}
	repositories := []string{t.Hub, t.OldHub}
	for _, r := range repositories {
		if r != "" {
			names = append(names, filepath.Base(r), filepath.FromSlash(r))
		}
	}
	var folders []string
	if dir != "" {
		for _, name := range names {
			folders = append(folders, filepath.Join(dir, name))
		}
	}
	if hubCache != "" {
		for _, r := range repositories {
			snapshots := filepath.Join(hubCache, "datasets--"+strings.ReplaceAll(r, "/", "--"), "snapshots")
			if r != "" {
				folders = append(folders, filepath.Join(snapshots, t.Revision), filepath.Join(snapshots, t.OldCommit))
			}
		}
	}
	return slices.Compact(folders)
}
