// A program that does nothing, to see whether one can be built.

int nothing(void *context)
{
	return 0;
}
