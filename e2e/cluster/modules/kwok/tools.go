// Package tools pins the module that kwok is built from.
package tools
