// Package lab is for tests.
package lab
