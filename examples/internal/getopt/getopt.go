// Package getopt reads options as getopt(3) does, for programs whose options have
// been one letter for decades: letters may be joined, and an argument may follow
// its letter at once or as the next word.
package getopt

import (
	"fmt"
	"strings"
)

// An Option is one of a command line.
type Option struct {
	Letter byte
	Arg    string // of options that have one
}

// Parse reads the options of a command line and returns the rest of it. The
// letters are those that are known, a colon behind a letter says that it has an
// argument. Options end at "--" or the first word that is none; "-" is none.
func Parse(args []string, letters string) (options []Option, rest []string, err error) {
	for len(args) > 0 {
		word := args[0]
		if len(word) < 2 || word[0] != '-' {
			break
		}
		args = args[1:]
		if word == "--" {
			break
		}
		for word = word[1:]; word != ""; {
			o := Option{Letter: word[0]}
			word = word[1:]
			i := strings.IndexByte(letters, o.Letter)
			if i < 0 || o.Letter == ':' {
				return nil, nil, fmt.Errorf("no option -%c", o.Letter)
			}
			if i+1 < len(letters) && letters[i+1] == ':' {
				switch {
				case word != "":
					o.Arg, word = word, ""
				case len(args) > 0:
					o.Arg, args = args[0], args[1:]
				default:
					return nil, nil, fmt.Errorf("-%c without its argument", o.Letter)
				}
			}
			options = append(options, o)
		}
	}
	return options, args, nil
}
