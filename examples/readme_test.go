// Package examples_test sees that the programs of the README are programs: they
// compile, and do to each other what it says.
package examples_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// importPaths are those of the packages that the README names.
var importPaths = map[string]string{
	"racoon": "github.com/racoon3/racoon", "ike": "github.com/racoon3/racoon/ike", "ikev1": "github.com/racoon3/racoon/ikev1", "esp": "github.com/racoon3/racoon/esp",
	"netstack": "github.com/racoon3/racoon/esp/netstack", "netip": "net/netip", "http": "net/http",
}

// frame is what a reader puts around the lines of the README, and after them.
const frame = `package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	%s
)

var (
	ctx     = context.Background()
	psk     = "a secret of both"
	handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello from behind the gateway") })
)

var _, _, _, _ = fmt.Println, bufio.NewReader, psk, handler

func main() {
	%s
	%s
}
`

const afterClient = `
	fmt.Fprintf(conn, "GET / HTTP/1.0\r\n\r\n")
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	body, err := io.ReadAll(r.Body)
	fmt.Printf("%s", body)
	err = m.Shutdown(ctx)
`

// What the README's gateway with IKEv1 leaves to the reader.
const (
	beforeRoadWarrior = `
	groupKey := psk
	pool, err := racoon.NewPool(racoon.PoolConfig{Addresses: []string{"10.3.0.0/24"}})
`
	afterRoadWarrior = `
	_, err = racoon.NewManager(racoon.Config{Peers: []racoon.Peer{peer}})
`
)

// readme returns the Go code below a heading.
func readme(t *testing.T, heading string) string {
	t.Helper()
	b, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	m := regexp.MustCompile("(?s)\n###? " + heading + "\n.*?```go\n(.*?)```").FindSubmatch(b)
	require.NotNil(t, m, "no code below %q", heading)
	return string(m[1])
}

// program makes a program of lines: it imports what they use, and looks at
// every err.
func program(t *testing.T, lines, after string) []byte {
	t.Helper()
	imports := map[string]bool{}
	for name, path := range importPaths {
		if path != "net/http" && regexp.MustCompile(`\b`+name+`\.`).MatchString(lines) {
			imports[fmt.Sprintf("%q", path)] = true
		}
	}
	src := fmt.Sprintf(frame, strings.Join(slices.Sorted(maps.Keys(imports)), "\n\t"), lines, after)
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "main.go", src, 0)
	require.NoError(t, err, src)
	main := f.Decls[len(f.Decls)-1].(*ast.FuncDecl)
	check, err := parser.ParseExpr("func() { if err != nil { panic(err) } }")
	require.NoError(t, err)
	var body []ast.Stmt
	for _, s := range main.Body.List {
		body = append(body, s)
		if a, ok := s.(*ast.AssignStmt); ok && a.Lhs[len(a.Lhs)-1].(*ast.Ident).Name == "err" {
			body = append(body, check.(*ast.FuncLit).Body.List...)
		}
	}
	main.Body.List = body
	var b bytes.Buffer
	require.NoError(t, format.Node(&b, token.NewFileSet(), f))
	return b.Bytes()
}

// build builds the README's client and gateway as if they were packages of
// this module.
func build(t *testing.T) (client, gateway string) {
	dir := t.TempDir()
	here, err := os.Getwd()
	require.NoError(t, err)
	replace := map[string]string{}
	var paths []string
	for name, src := range map[string][]byte{
		"client":  program(t, readme(t, "A client in 15 lines"), afterClient),
		"gateway": program(t, readme(t, "A gateway in 15 lines"), ""),
		"ikev1":   program(t, beforeRoadWarrior+readme(t, "A road warrior's gateway with IKEv1"), afterRoadWarrior),
	} {
		file := filepath.Join(dir, name+".go")
		require.NoError(t, os.WriteFile(file, src, 0o600))
		replace[filepath.Join(here, "readme"+name, "main.go")] = file
		paths = append(paths, "./readme"+name)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600))
	bin := filepath.Join(dir, "bin")
	require.NoError(t, os.Mkdir(bin, 0o700))
	out, err := exec.Command("go", append([]string{"build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", bin + string(filepath.Separator)}, paths...)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return filepath.Join(bin, "readmeclient"), filepath.Join(bin, "readmegateway")
}

// TestReadmeCompiles: the README's client and gateway are 15 lines, and with the
// gateway for IKEv1 they compile.
func TestReadmeCompiles(t *testing.T) {
	for _, heading := range []string{"A client in 15 lines", "A gateway in 15 lines"} {
		require.LessOrEqual(t, strings.Count(readme(t, heading), "\n"), 15, heading)
	}
	build(t)
}
