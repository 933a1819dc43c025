package conf

import "io"

// Reference writes the commented reference of the configuration file.
func Reference(w io.Writer) error { return nil }
