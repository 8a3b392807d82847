<:


nConst

n	WriteFile

nReadFile
	
nRelu