package control

import (
	"fmt"
	"net/http"
)

var errTooLong = &Error{Status: http.StatusRequestEntityTooLarge, Code: CodeBadRequest, Message: "the request is too long"}

func badRequest(format string, args ...any) error {
	return &Error{Status: http.StatusBadRequest, Code: CodeBadRequest, Message: fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) error {
	return &Error{Status: http.StatusNotFound, Code: CodeNotFound, Message: fmt.Sprintf(format, args...)}
}

func unsupported(what string) error {
	return &Error{Status: http.StatusNotImplemented, Code: CodeUnsupported, Message: "this daemon has no " + what}
}
