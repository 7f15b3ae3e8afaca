package pass

func init() { checkEach = true }
