package quantize

// applyDynamic multiplies in int8 with a range for each token and block of inputs, taken as it runs: what
// MatMulNBits does at accuracy_level 4. DynamicQuantizeLinear takes one range for the whole batch,
// so that a text's vector depends on the texts beside it.
func applyDynamic(j *job) error {
	for _, m := range j.matrices {
		w, err := m.values()
		if err != nil {
			return err
		}
		q := newBlocks(m.k, m.n, blockSize, 8, false)
		q.round(w)
		j.storeBlocks(m, q, 4)
		j.done(m, "int8 in blocks, activations int8 per token", q.bytes(), relativeError(w, q.values()))
	}
	return nil
}
