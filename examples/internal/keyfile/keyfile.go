// Package keyfile writes files of secrets, which nobody but their owner may read.
package keyfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Create writes a file that must not exist.
func Create(name string, secret []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := write(f, secret); err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return nil
}

// Replace writes a file, in place of one that is there: whoever reads it meets
// the old or the new one, whole. What is no regular file, as /dev/stdout, is
// written to.
func Replace(name string, secret []byte) error {
	switch info, err := os.Stat(name); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s is a directory", name)
	case !info.Mode().IsRegular():
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.Write(secret)
		return errors.Join(err, f.Close())
	default:
		// The file itself, not a link to it.
		if name, err = filepath.EvalSymlinks(name); err != nil {
			return err
		}
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*") // with mode 0600
	if err != nil {
		return err
	}
	err = write(f, secret)
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

func write(f *os.File, secret []byte) error {
	_, err := f.Write(secret)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
