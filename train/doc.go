// Package train fine-tunes text-embedding models by contrastive learning. It executes the model's own graph on
// libtorch, so whatever can be opened can be trained.
//
//	what is asked    options.go, validate.go
//	the loop         train.go: Run on one page; prepare.go, resume.go and finish.go are its stages, loader.go reads ahead
//	a step           step.go, texts.go, encode.go, gradcache.go, objective.go; schedule.go, scaler.go
//	what moves       params.go; adapt.go puts dropout and adapters into the graph
//	what stays       checkpoint.go, fingerprint.go: a run survives its end
//	what is told     log.go, tensorboard.go, progress.go, evaluate.go, card.go
//
// A build with the tag lite has no libtorch: Run then returns torch.ErrLite.
package train
