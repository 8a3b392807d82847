// Package client talks to the HTTP API of CAOS: authentication, the second factor that
// some operations ask for, problems as *caos.Error, uploads, downloads and event streams.
// It knows no resource: callers name paths and bring the types that answers are read into.
package client
