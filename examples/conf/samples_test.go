package conf_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// bringUp are the packages whose tests run daemons, as processes or in a kernel of
// their own, with the samples and their counterparts.
var bringUp = []string{"internal/interop", "internal/spmdaemon"}

const top = "../.."

// TestEverySampleIsBroughtUp: a sample that no test brings up is not one. A test
// must reach the sample's name: in its body, or in functions of its package's
// tests that it calls or names.
func TestEverySampleIsBroughtUp(t *testing.T) {
	all, err := filepath.Glob("*.toml")
	require.NoError(t, err)
	require.NotEmpty(t, all)
	funcs := make(map[string]map[string]*ast.FuncDecl)
	for _, folder := range bringUp {
		funcs[folder] = testsOf(t, folder)
	}
	by := func(sample string) (tests []string) {
		for _, folder := range bringUp {
			for name := range funcs[folder] {
				if strings.HasPrefix(name, "Test") && name != "TestMain" && reaches(funcs[folder], name, sample, map[string]bool{}) {
					tests = append(tests, folder+"."+name)
				}
			}
		}
		slices.Sort(tests)
		return tests
	}
	for _, sample := range all {
		tests := by(sample)
		t.Logf("%s: %s", sample, strings.Join(tests, ", "))
		require.NotEmpty(t, tests, "no test in %v brings up %s", bringUp, sample)
	}
	require.Empty(t, by("no-such-sample.toml"))
}

// testsOf returns the functions of a package's tests by name.
func testsOf(t *testing.T, folder string) map[string]*ast.FuncDecl {
	files, err := filepath.Glob(filepath.Join(top, folder, "*_test.go"))
	require.NoError(t, err)
	funcs := make(map[string]*ast.FuncDecl)
	for _, f := range files {
		file, err := parser.ParseFile(token.NewFileSet(), f, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range file.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				funcs[fn.Name.Name] = fn
			}
		}
	}
	return funcs
}

func reaches(funcs map[string]*ast.FuncDecl, name, sample string, seen map[string]bool) (found bool) {
	fn := funcs[name]
	if fn == nil || seen[name] {
		return false
	}
	seen[name] = true
	// "kink-"+name+".toml" is two pieces of a name.
	begin, _, _ := strings.Cut(sample, "-")
	pieces := []string{`"` + sample + `"`, `"` + begin + `-"`}
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			found = found || n.Value == pieces[0] || n.Value == pieces[1]
		case *ast.Ident:
			found = found || reaches(funcs, n.Name, sample, seen)
		}
		return !found
	})
	return found
}

// TestHookScripts: the scripts that samples name are here, can be run and are
// shell scripts; and there is none that no sample names.
func TestHookScripts(t *testing.T) {
	named := make(map[string]bool)
	all, err := filepath.Glob("*.toml")
	require.NoError(t, err)
	for _, name := range all {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`(?m)^(?:session|child)-\w+ = "([^"]+)"|^migration = "([^"]+)"`).FindAllStringSubmatch(string(text), -1) {
			named[m[1]+m[2]] = true
		}
	}
	require.NotEmpty(t, named)
	for script := range named {
		info, err := os.Stat(script)
		require.NoError(t, err)
		require.NotZero(t, info.Mode()&0o100, "%s cannot be run", script)
		require.Zero(t, info.Mode()&0o002, "%s: the daemon refuses what others can change", script) // the group's bit is the checkout's umask
		out, err := exec.Command("sh", "-n", script).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	scripts, err := filepath.Glob("hooks/*")
	require.NoError(t, err)
	for _, s := range scripts {
		require.True(t, named[s], "no sample names %s", s)
	}
}
