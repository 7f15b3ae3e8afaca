#include "textflag.h"

// The largest float32 below 1/2.
DATA belowHalf<>+0(SB)/4, $0x3effffff
GLOBL belowHalf<>(SB), RODATA|NOPTR, $4

// Where packing within halves of a register leaves each four codes.
DATA packed<>+0(SB)/4, $0
DATA packed<>+4(SB)/4, $4
DATA packed<>+8(SB)/4, $1
DATA packed<>+12(SB)/4, $5
DATA packed<>+16(SB)/4, $2
DATA packed<>+20(SB)/4, $6
DATA packed<>+24(SB)/4, $3
DATA packed<>+28(SB)/4, $7
GLOBL packed<>(SB), RODATA|NOPTR, $32

// func extremes32(w *[32]float32) (unsigned uint32, signed int32)
TEXT ·extremes32(SB), NOSPLIT, $0-16
	MOVQ w+0(FP), SI
	VMOVDQU (SI), Y0
	VMOVDQU 32(SI), Y1
	VMOVDQU 64(SI), Y2
	VMOVDQU 96(SI), Y3
	VPMAXUD Y0, Y1, Y4
	VPMAXUD Y2, Y3, Y5
	VPMAXUD Y4, Y5, Y4
	VPMAXSD Y0, Y1, Y6
	VPMAXSD Y2, Y3, Y7
	VPMAXSD Y6, Y7, Y6
	VEXTRACTI128 $1, Y4, X5 // eight to four, two, one
	VPMAXUD X4, X5, X4
	VPSHUFD $0x4e, X4, X5
	VPMAXUD X4, X5, X4
	VPSHUFD $0xb1, X4, X5
	VPMAXUD X4, X5, X4
	VEXTRACTI128 $1, Y6, X7
	VPMAXSD X6, X7, X6
	VPSHUFD $0x4e, X6, X7
	VPMAXSD X6, X7, X6
	VPSHUFD $0xb1, X6, X7
	VPMAXSD X6, X7, X6
	VMOVD X4, AX
	VMOVD X6, BX
	MOVL AX, unsigned+8(FP)
	MOVL BX, signed+12(FP)
	VZEROUPPER
	RET

// func encode32(codes *[32]uint8, w *[32]float32, inverse, zero float32, most int32)
TEXT ·encode32(SB), NOSPLIT, $0-28
	MOVQ codes+0(FP), DI
	MOVQ w+8(FP), SI
	VBROADCASTSS inverse+16(FP), Y0
	VBROADCASTSS zero+20(FP), Y1
	MOVL most+24(FP), AX
	VMOVD AX, X2
	VPBROADCASTD X2, Y2
	VBROADCASTSS belowHalf<>(SB), Y3
	VMULPS (SI), Y0, Y4
	VMULPS 32(SI), Y0, Y5
	VMULPS 64(SI), Y0, Y6
	VMULPS 96(SI), Y0, Y7
	VADDPS Y1, Y4, Y4
	VADDPS Y1, Y5, Y5
	VADDPS Y1, Y6, Y6
	VADDPS Y1, Y7, Y7
	VADDPS Y3, Y4, Y4
	VADDPS Y3, Y5, Y5
	VADDPS Y3, Y6, Y6
	VADDPS Y3, Y7, Y7
	VCVTTPS2DQ Y4, Y4
	VCVTTPS2DQ Y5, Y5
	VCVTTPS2DQ Y6, Y6
	VCVTTPS2DQ Y7, Y7
	VPMINSD Y2, Y4, Y4
	VPMINSD Y2, Y5, Y5
	VPMINSD Y2, Y6, Y6
	VPMINSD Y2, Y7, Y7
	VPACKUSDW Y5, Y4, Y4
	VPACKUSDW Y7, Y6, Y6
	VPACKUSWB Y6, Y4, Y4
	VMOVDQU packed<>(SB), Y5
	VPERMD Y4, Y5, Y4
	VMOVDQU Y4, (DI)
	VZEROUPPER
	RET
