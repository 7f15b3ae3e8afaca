// Package train fine-tunes text-embedding models by contrastive learning. It executes the model's own graph on
// libtorch, so whatever can be opened can be trained.
//
// Run (train.go) is the loop on one page. options.go says what it can be told, step.go does the arithmetic of one
// batch, schedule.go the learning rate, params.go says which parameters train, checkpoint.go makes a run survive
// its end, and log.go, tensorboard.go and card.go tell what happened. A build with the tag lite has no libtorch:
// Run then returns torch.ErrLite.
package train
