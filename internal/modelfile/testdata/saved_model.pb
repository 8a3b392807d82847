*(


nConst

nMatMul
	
nRelu