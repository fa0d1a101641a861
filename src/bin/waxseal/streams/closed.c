/*
 * Keeps a closed standard stream closed in effect: reads and writes of it go on failing with EBADF.
 *
 * Rust's runtime opens /dev/null, for reading and writing, on each of the descriptors 0 to 2 that is closed. That
 * happens before main() starts, and then a closed output looks like a success. Later on nothing tells the two apart:
 * Python's subprocess.DEVNULL and Node's stdio "ignore" hand over /dev/null for reading and writing, too. A
 * constructor runs before the runtime does. It fills each gap with a descriptor for the wrong direction, so the
 * runtime finds no gap and no file that is opened later gets the number of a standard stream.
 */
#include <fcntl.h>
#include <unistd.h>

__attribute__((constructor)) static void keep_closed(void)
{
    int stream;

    /* In this order open() returns the number that is missing: it takes the lowest one that is free. */
    for (stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++)
        if (fcntl(stream, F_GETFD) == -1)
            (void)open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}
