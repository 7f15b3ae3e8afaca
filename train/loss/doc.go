// Package loss is the objectives of contrastive training: from the embeddings of a batch's queries and passages to a
// number and its gradient with respect to the embeddings.
//
// objective.go and distill.go are the tables of objectives. Loss (loss.go) evaluates one of them at one or several
// widths (matryoshka.go), block of queries by block of queries, so that memory does not grow with the square of the
// batch; gather.go does the same over the batches of several processes. mask.go finds the passages of a batch that
// are no negatives of a query.
//
// Everything here is float32, whatever the encoder computed in: a softmax over scores of cosine/0.02 does not survive
// the halves. Because the gradient stops at the embeddings, it does not matter to this package how they were made:
// in one batch, in several, or without a graph, to be computed once more (GradCache).
package loss
