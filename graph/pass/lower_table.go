package pass

import "graft/graph"

// rule lowers the nodes of one operator of the default domain.
type rule struct {
	op     string
	native int64 // the first opset at which the target is given the operator itself; 0: at none
	// lower appends what stands for the node and returns what stands for its first output; nil
	// leaves the node as it is.
	lower func(*lowerer, *graph.Node) (*graph.Value, error)
	why   string
}

// lowerings is the form of each operator per target; what is not named stays. The forms for
// CUDA and for float16 on it follow onnxruntime's documentation of its kernels.
var lowerings = map[Target][]rule{
	Portable:     portable,
	TensorRT:     portable, // any operator outside ONNX splits its engine
	CPU:          cpu,
	OpenVINOBF16: append([]rule{{"MatMul", 0, lowerBF16Product, "late weights keep 16 bits of their numbers, and sums stay in float32"}}, portable...),
	CUDA:         cuda,
}

var portable = []rule{
	{"Dropout", 0, lowerDropout, "nothing is dropped outside training"},
	{"Transpose", 0, lowerTranspose, "a transposed weight is stored that way"},
	{"LayerNormalization", 17, lowerLayerNorm, "an operator from opset 17 on"},
	{"Gelu", 20, lowerGelu, "an operator from opset 20 on"},
	{"RMSNormalization", 23, lowerRMSNorm, "an operator from opset 23 on"},
	{"RotaryEmbedding", 23, lowerRotary, "an operator from opset 23 on"},
	{"Attention", 0, lowerAttention, "runtimes disagree on opset 23's: the alignment of causal masks (onnxruntime issue 29020), bool masks and grouped heads; " +
		"and their masks of −inf or −3.4e38 are not safe in bfloat16"},
}

// cpu differs from portable in attention alone; for decoders see fusedForms. Measured on MiniLM, processor time of ONNX
// Runtime 1.30 against plain operators in the same run: MultiHeadAttention takes 1.00 of it on
// texts of 32 tokens, 0.92 on texts of 256. SkipLayerNormalization and BiasGelu take 0.98 to
// 1.05, within the noise; the runtime finds the latter by itself.
var cpu = []rule{
	{"Dropout", 0, lowerDropout, "nothing is dropped outside training"},
	{"Transpose", 0, lowerTranspose, "a transposed weight is stored that way"},
	{"LayerNormalization", 17, lowerLayerNorm, "an operator from opset 17 on"},
	{"Gelu", 20, lowerGelu, "an operator from opset 20 on"},
	{"RMSNormalization", 23, lowerRMSNorm, "an operator from opset 23 on"},
	{"RotaryEmbedding", 23, lowerRotary, "an operator from opset 23 on"},
	{"Attention", 0, lowerFusedAttention, "heads are split and merged inside the kernel"},
}

// cuda is what ONNX Runtime's CUDA provider has fused kernels for.
var cuda = []rule{
	{"Dropout", 0, lowerDropout, "nothing is dropped outside training"},
	{"Transpose", 0, lowerTranspose, "a transposed weight is stored that way"},
	{"LayerNormalization", 0, lowerSkipLayerNorm, "one kernel for the residual sum, the bias before it and the norm"},
	{"RMSNormalization", 0, lowerSkipRMSNorm, "one kernel for the residual sum and the norm"},
	{"Gelu", 0, lowerBiasGelu, "one kernel for the bias and GELU"},
	{"RotaryEmbedding", 0, lowerRotary, "kernels of opset 23 came late"},
	{"Attention", 0, lowerFusedAttention, "kernels that take lengths, causal order and windows, with no mask in memory"},
}
