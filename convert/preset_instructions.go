package convert

// defaultInstruction stands for {instruction} where a task has none of its own.
const defaultInstruction = "Given a web search query, retrieve relevant passages that answer the query."

// instructions are the reference's by task (evaluation/eval_mteb.sh). Its table has NQ and TRECCOVID under names that no task has, so that
// its recorded scores of these two were made with an empty instruction.
var instructions = map[string]string{
	"ArguAna":        "Given a claim, find documents that refute the claim.",
	"ClimateFEVER":   "Given a claim about climate change, retrieve documents that support or refute the claim.",
	"DBPedia":        "Given a query, retrieve relevant entity descriptions from DBPedia.",
	"FEVER":          "Given a claim, retrieve documents that support or refute the claim.",
	"FiQA2018":       "Given a financial question, retrieve user replies that best answer the question.",
	"HotpotQA":       "Given a multi-hop question, retrieve documents that can help answer the question.",
	"MSMARCO":        defaultInstruction,
	"MSMARCO-Title":  defaultInstruction,
	"NFCorpus":       "Given a question, retrieve relevant documents that best answer the question.",
	"NQ":             "Given a question, retrieve Wikipedia passages that answer the question.",
	"QuoraRetrieval": "Given a question, retrieve questions that are semantically equivalent to the given question.",
	"SCIDOCS":        "Given a scientific paper title, retrieve paper abstracts that are cited by the given paper.",
	"SciFact":        "Given a scientific claim, retrieve documents that support or refute the claim.",
	"Touche2020":     "Given a question, retrieve detailed and persuasive arguments that answer the question.",
	"TRECCOVID":      "Given a query, retrieve documents that answer the query.",

	"CQADupstackAndroidRetrieval":     duplicateInstruction,
	"CQADupstackEnglishRetrieval":     duplicateInstruction,
	"CQADupstackGamingRetrieval":      duplicateInstruction,
	"CQADupstackGisRetrieval":         duplicateInstruction,
	"CQADupstackMathematicaRetrieval": duplicateInstruction,
	"CQADupstackPhysicsRetrieval":     duplicateInstruction,
	"CQADupstackProgrammersRetrieval": duplicateInstruction,
	"CQADupstackStatsRetrieval":       duplicateInstruction,
	"CQADupstackTexRetrieval":         duplicateInstruction,
	"CQADupstackUnixRetrieval":        duplicateInstruction,
	"CQADupstackWebmastersRetrieval":  duplicateInstruction,
	"CQADupstackWordpressRetrieval":   duplicateInstruction,
}

const duplicateInstruction = "Given a question, retrieve detailed question descriptions from Stackexchange that are duplicates to the given question."
