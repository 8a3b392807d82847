package caos

// GroupDigits writes a whole decimal number, such as "-1234567", in groups of three digits as
// people read it: "-1,234,567".
func GroupDigits(number string) string {
	for at := len(number) - 3; at > 0 && number[at-1] != '-'; at -= 3 {
		number = number[:at] + "," + number[at:]
	}
	return number
}
