package evaluate

import (
	"slices"
	"strings"
)

// The reference is the example that graft follows, PaddleNLP's contrastive_training: its README records what its eight systems score on
// the MTEB retrieval tasks and on MSMARCO-Title, measured by itself. They are not golden values: some systems ran with an empty instruction
// for NQ and TRECCOVID, or under another pooling than their own.

// RecordedMetrics are the metrics that the reference records, by their keys in a result file.
var RecordedMetrics = []string{"ndcg_at_10", "recall_at_10", "mrr_at_10"}

// recordedTasks are the columns of recordedScores.
var recordedTasks = []string{
	"ArguAna", "ClimateFEVER", "CQADupstackRetrieval", "DBPedia", "FEVER", "FiQA2018", "HotpotQA", "MSMARCO",
	"NFCorpus", "NQ", "QuoraRetrieval", "SCIDOCS", "SciFact", "Touche2020", "TRECCOVID",
	"MSMARCO-Title",
}

// recordedScores are in percent, as they are printed in its tables.
var recordedScores = []struct {
	system, metric string
	mean           float64   // of all but the last, as the table gives it
	scores         []float64 // by recordedTasks
}{
	{"rocketqa-v1", "ndcg_at_10", 44.74, []float64{47.16, 21.02, 32.12, 37.53, 70.30, 32.89, 55.21, 41.93, 29.65, 53.26, 76.44, 13.63, 59.85, 30.37, 69.75, 43.51}},
	{"rocketqa-v1", "recall_at_10", 46.12, []float64{75.61, 25.28, 41.50, 22.04, 83.88, 39.45, 56.68, 62.96, 14.22, 73.05, 88.59, 14.09, 73.44, 19.18, 1.79, 65.67}},
	{"rocketqa-v1", "mrr_at_10", 52.24, []float64{38.46, 28.73, 31.39, 72.10, 68.70, 40.52, 73.07, 35.72, 48.43, 48.44, 74.23, 24.93, 56.48, 52.54, 89.79, 36.94}},
	{"rocketqa-v2", "ndcg_at_10", 43.09, []float64{44.66, 19.15, 29.51, 35.75, 69.00, 30.34, 53.56, 43.59, 29.38, 50.16, 74.22, 12.82, 55.08, 30.60, 68.56, 45.28}},
	{"rocketqa-v2", "recall_at_10", 44.45, []float64{71.19, 24.28, 38.53, 21.45, 82.86, 36.80, 55.21, 64.68, 13.43, 68.88, 87.09, 13.27, 68.44, 18.88, 1.76, 67.06}},
	{"rocketqa-v2", "mrr_at_10", 50.85, []float64{36.57, 25.39, 28.76, 69.52, 67.36, 37.41, 71.27, 37.37, 49.29, 45.70, 71.85, 23.57, 51.85, 58.22, 88.67, 38.88}},
	{"bge-large-en-v1.5", "ndcg_at_10", 53.68, []float64{65.17, 32.75, 43.05, 43.69, 85.09, 44.69, 72.57, 41.90, 38.35, 54.42, 89.14, 23.37, 75.50, 23.01, 72.48, 41.96}},
	{"bge-large-en-v1.5", "recall_at_10", 54.59, []float64{90.26, 39.13, 55.23, 26.44, 93.39, 51.45, 76.87, 63.54, 19.37, 76.32, 95.74, 24.92, 88.49, 15.65, 2.03, 64.24}},
	{"bge-large-en-v1.5", "mrr_at_10", 61.19, []float64{57.56, 43.09, 41.89, 77.26, 85.39, 52.91, 84.72, 35.52, 56.94, 48.86, 88.43, 38.28, 71.98, 44.95, 90.00, 35.30}},
	{"repllama-v1-7b", "ndcg_at_10", 51.81, []float64{49.19, 32.57, 40.75, 41.80, 81.27, 45.47, 67.27, 41.23, 37.77, 59.24, 88.15, 18.93, 75.74, 23.90, 73.88, 45.13}},
	{"repllama-v1-7b", "recall_at_10", 52.95, []float64{78.88, 40.03, 52.53, 25.89, 92.01, 52.19, 69.54, 63.60, 19.04, 78.50, 95.38, 19.91, 88.27, 16.62, 1.82, 66.26}},
	{"repllama-v1-7b", "mrr_at_10", 58.00, []float64{40.16, 42.07, 39.53, 72.62, 79.58, 53.37, 84.29, 34.55, 58.04, 50.81, 87.43, 32.33, 72.19, 40.18, 82.87, 38.24}},
	{"nv-embed-v1", "ndcg_at_10", 58.86, []float64{68.30, 34.37, 50.27, 48.29, 86.58, 62.90, 79.92, 46.48, 37.98, 71.22, 89.20, 20.16, 78.30, 23.98, 84.91, 45.21}},
	{"nv-embed-v1", "recall_at_10", 58.78, []float64{93.95, 41.07, 64.66, 28.67, 95.24, 70.62, 85.19, 69.15, 18.45, 89.16, 95.92, 21.27, 90.02, 15.94, 2.36, 68.02}},
	{"nv-embed-v1", "mrr_at_10", 65.24, []float64{60.28, 45.17, 48.14, 80.19, 86.78, 69.24, 88.36, 39.73, 59.40, 66.70, 88.35, 34.27, 75.17, 42.50, 94.33, 38.39}},
	{"bge-en-icl", "ndcg_at_10", 61.62, []float64{82.34, 45.33, 47.27, 50.60, 91.91, 59.13, 84.90, 46.78, 40.66, 73.85, 91.03, 25.46, 77.91, 30.71, 76.38, 49.47}},
	{"bge-en-icl", "recall_at_10", 60.62, []float64{97.08, 52.19, 60.38, 29.81, 96.92, 67.42, 88.33, 69.53, 20.42, 90.96, 97.02, 27.33, 91.05, 18.81, 2.11, 71.90}},
	{"bge-en-icl", "mrr_at_10", 69.29, []float64{77.83, 57.88, 45.69, 82.04, 92.50, 65.78, 92.76, 39.97, 61.84, 69.64, 90.22, 41.14, 75.13, 56.56, 90.33, 42.74}},
	{"llara-passage", "ndcg_at_10", 52.48, []float64{47.51, 26.13, 37.26, 44.12, 81.09, 43.98, 69.17, 45.49, 37.07, 61.76, 82.29, 17.30, 76.07, 36.73, 81.30, 49.87}},
	{"llara-passage", "recall_at_10", 52.30, []float64{76.17, 32.52, 47.91, 26.33, 90.48, 51.09, 71.16, 67.82, 17.67, 81.89, 92.54, 18.12, 86.80, 21.81, 2.23, 72.59}},
	{"llara-passage", "mrr_at_10", 60.11, []float64{38.77, 34.58, 36.19, 75.50, 81.02, 51.72, 86.36, 38.81, 57.69, 56.85, 80.58, 30.15, 73.17, 67.20, 93.07, 43.04}},
	{"qwen3-embedding-8b", "ndcg_at_10", 62.36, []float64{76.63, 47.13, 54.01, 48.86, 91.82, 62.14, 76.28, 44.29, 41.31, 64.63, 89.03, 32.22, 78.48, 34.99, 93.54, 45.72}},
	{"qwen3-embedding-8b", "recall_at_10", 60.96, []float64{97.51, 52.34, 67.80, 28.99, 96.01, 71.33, 79.05, 67.43, 19.95, 84.87, 96.16, 34.57, 93.50, 22.41, 2.50, 69.46}},
	{"qwen3-embedding-8b", "mrr_at_10", 69.79, []float64{70.12, 61.52, 52.23, 81.29, 93.54, 69.72, 89.46, 37.44, 61.46, 59.63, 88.01, 49.32, 74.06, 59.09, 100.00, 38.66}},
}

// Recorded returns what the reference recorded of one of its systems on a task: percent by the metric's key. It is empty where there is nothing.
func Recorded(system, task string) map[string]float64 {
	scores := map[string]float64{}
	column := slices.IndexFunc(recordedTasks, func(t string) bool { return strings.EqualFold(t, task) })
	for _, row := range recordedScores {
		if row.system == system && column >= 0 {
			scores[row.metric] = row.scores[column]
		}
	}
	return scores
}
